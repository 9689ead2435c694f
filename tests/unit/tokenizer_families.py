"""Small tokenizers with the habits of well-known families, built here and now."""

from collections.abc import Callable

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)
from transformers import ByT5Tokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

WORDS = ["hello", "the", "be", "user", "You", "are", "Use", "Answer", "question", "ĠPreferences"]

CHATML = """
{%- if tools %}<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content }}

{% endif %}# Tools
<tools>{% for tool in tools %}
{{ tool | tojson }}{% endfor %}
</tools>
Answer with <tool_call></tool_call>.<|im_end|>
{% elif messages[0].role == 'system' %}<|im_start|>system
{{ messages[0].content }}<|im_end|>
{% endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% elif not (loop.first and message.role == 'system') %}<|im_start|>{{ message.role }}
{{ message.content }}
{%- for call in message.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% endif %}{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

# Rewrites the reasoning of earlier answers, which it finds by its marks.
REASONING = CHATML.replace(
    "{{ message.content }}\n{%- for call",
    """{% if message.role == 'assistant' and '</think>' in message.content -%}
<think>
{{ message.content.split('</think>')[0].split('<think>')[-1].strip() }}
</think>

{{ message.content.split('</think>')[-1].strip() }}
{%- else %}{{ message.content }}{% endif %}
{%- for call""",
)

LLAMA3 = """{{ bos_token }}
{%- for message in messages %}
{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' }}
{%- if message.tool_calls %}
{{- '<|python_tag|>' + message.tool_calls[0].function | tojson(ensure_ascii=True) }}
{%- else %}{{ message.content | trim }}{% endif %}
{%- if tools and loop.last %}{% for tool in tools %}{{ tool | tojson(indent=4) }}{% endfor %}
{%- endif %}
{{- '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"""

LLAMA2 = """
{%- set system = messages[0].content if messages[0].role == 'system' else '' %}
{%- set turns = messages[1:] if messages[0].role == 'system' else messages %}
{{- bos_token }}
{%- for message in turns %}
{%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
{%- endif %}
{%- if message.role == 'user' %}
{%- if loop.first and system %}[INST] {{ '<<SYS>>\n' + system + '\n<</SYS>>\n\n' }}
{{- message.content }} [/INST]
{%- else %}[INST] {{ message.content.strip() }} [/INST]{% endif %}
{%- else %} {{ message.content.strip() }} {{ eos_token }}{% endif %}
{%- endfor %}"""

GEMMA = """{{ bos_token }}
{%- if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{%- for message in messages %}
{%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}
{%- endif %}
{{- '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\n' }}
{{- message.content | trim + '<end_of_turn>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"""

WORDLEVEL = """{% for m in messages %}{{ m.role }} : {{ m.content }} END {% endfor %}ANSWER"""


def _byte_level(*, ignore_merges: bool = False) -> Tokenizer:
    vocab = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges = []
    for word in [*WORDS, "<|", "|>", "im", "_start", "_end", "\u010a\u010a"]:
        for end in range(2, len(word) + 1):
            if word[:end] not in vocab:
                vocab[word[:end]] = len(vocab)
                merges.append((word[: end - 1], word[end - 1]))
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=ignore_merges))
    split = r"'s|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(split), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _metaspace(extra: list[str]) -> Tokenizer:
    """Sentencepiece-like BPE: a space before every text, bytes for what is unknown."""
    vocab = {token: i for i, token in enumerate(extra)}
    for piece in [f"<0x{b:02X}>" for b in range(256)] + ["▁", *map(chr, range(33, 127))]:
        vocab.setdefault(piece, len(vocab))
    merges = []
    for word in ["▁hello", "the", "▁be", "</", "s>"]:
        for end in range(2, len(word) + 1):
            if word[:end] not in vocab:
                vocab[word[:end]] = len(vocab)
                merges.append((word[: end - 1], word[end - 1]))
    tokenizer = Tokenizer(
        models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return tokenizer


def chatml() -> PreTrainedTokenizerBase:
    backend = _byte_level()
    backend.normalizer = normalizers.NFC()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|vision_start|>"],
    )
    for mark in ["<tool_call>", "</tool_call>", "<|fim_prefix|>"]:
        tokenizer.add_tokens([AddedToken(mark, normalized=False, special=False)])
    tokenizer.chat_template = CHATML
    return tokenizer


def reasoning() -> PreTrainedTokenizerBase:
    """As chatml, with marks around what the model thinks. Not among the FAMILIES."""
    tokenizer = chatml()
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t in ("<think>", "</think>")])
    tokenizer.chat_template = REASONING
    return tokenizer


def llama3() -> PreTrainedTokenizerBase:
    backend = _byte_level(ignore_merges=True)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<|begin_of_text|>",
        eos_token="<|eot_id|>",
        additional_special_tokens=["<|start_header_id|>", "<|end_header_id|>", "<|python_tag|>"],
    )
    bos = ("<|begin_of_text|>", tokenizer.bos_token_id)
    backend = tokenizer.backend_tokenizer
    backend.post_processor = processors.TemplateProcessing(
        single=f"{bos[0]} $A", special_tokens=[bos]
    )
    tokenizer.chat_template = LLAMA3
    return tokenizer


def llama2() -> PreTrainedTokenizerBase:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_metaspace(["<unk>", "<s>", "</s>"]),
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    tokenizer.chat_template = LLAMA2
    return tokenizer


def mistral() -> PreTrainedTokenizerBase:
    """As llama2, with control tokens for the instruction marks."""
    tokenizer = llama2()
    tokenizer.add_special_tokens(
        {"additional_special_tokens": ["[INST]", "[/INST]", "[TOOL_CALLS]"]}
    )
    return tokenizer


def gemma() -> PreTrainedTokenizerBase:
    backend = _metaspace(["<pad>", "<eos>", "<bos>", "<unk>"])
    backend.normalizer = normalizers.Replace(" ", "▁")
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        pad_token="<pad>",
        additional_special_tokens=["<start_of_turn>", "<end_of_turn>"],
    )
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t in ["<table>", "\n\n", "▁▁"]])
    tokenizer.chat_template = GEMMA
    return tokenizer


def plain() -> PreTrainedTokenizerBase:
    """No chat template."""
    tokenizer = llama2()
    tokenizer.chat_template = None
    return tokenizer


def wordlevel() -> PreTrainedTokenizerBase:
    """Control tokens are words of the ordinary vocabulary."""
    words = ["<unk>", "END", "ANSWER", ":", "user", "assistant", "system", "tool", "hello", "the"]
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="END",
        unk_token="<unk>",
        additional_special_tokens=["ANSWER"],
    )
    tokenizer.chat_template = WORDLEVEL
    return tokenizer


def unigram() -> PreTrainedTokenizerBase:
    """Normalises form and case before it looks for control tokens; knows them as words too."""
    pieces = [("<unk>", 0.0), ("</s>", 0.0), ("<end>", 0.0), ("▁", -2.0)]
    pieces += [(chr(c), -5.0) for c in range(33, 127)] + [("▁hello", -3.0)]
    backend = Tokenizer(models.Unigram(pieces, unk_id=0))
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    tokenizer.add_special_tokens(
        {
            "eos_token": AddedToken("</s>", normalized=True, special=True),
            "additional_special_tokens": [AddedToken("<end>", normalized=True, special=True)],
        }
    )
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}<end>{% endfor %}assistant:"
    )
    return tokenizer


def pure_python() -> PreTrainedTokenizerBase:
    tokenizer = ByT5Tokenizer(extra_ids=2)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}</s>{% endfor %}assistant:"
    )
    return tokenizer


FAMILIES: dict[str, Callable[[], PreTrainedTokenizerBase]] = {
    make.__name__: make
    for make in (
        chatml,
        llama3,
        llama2,
        mistral,
        gemma,
        plain,
        wordlevel,
        unigram,
        pure_python,
    )
}
