"""The tokenizer: byte-level BPE trained on the corpus, with its chat template."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

VOCABULARY = 3584
PAD = "<|endoftext|>"
START = "<|im_start|>"
END = "<|im_end|>"
_SPLIT = (
    r"\n| ?[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|\p{L}[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}{1,2}"
    r"| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
)
"""Words of small letters carry the blank before them; capitalised words and numbers never do, so
that a name or number is the same tokens after a blank, a quotation mark or nothing: copying needs
that."""

CHAT_TEMPLATE = """\
{%- set ns = namespace(text='', rest=messages) -%}
{%- if messages and messages[0].role == 'system' -%}
{%- set ns.text = messages[0].content -%}
{%- set ns.rest = messages[1:] -%}
{%- endif -%}
{%- if ns.text or tools -%}
{{- '<|im_start|>system\\n' + ns.text -}}
{%- if tools -%}
{{- '\\n\\n' if ns.text else '' -}}
{{- 'If a tool fits, answer with its call.\\n<tools>\\n' -}}
{%- for tool in tools -%}
{%- set f = tool.function if tool.function is defined else tool -%}
{{- '{"name": ' + f.name|tojson + ', "description": ' + (f.description or '')|tojson -}}
{{- ', "arguments": {' -}}
{%- if f.parameters and f.parameters.properties -%}
{%- for key, value in f.parameters.properties.items() -%}
{{- key|tojson + ': ' + (value.type or 'string')|tojson -}}
{{- '' if loop.last else ', ' -}}
{%- endfor -%}
{%- endif -%}
{{- '}}\\n' -}}
{%- endfor -%}
{{- '</tools>' -}}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in ns.rest -%}
{%- if message.role == 'tool' -%}
{{- '<|im_start|>tool\\n<tool_response>\\n' + message.content + '\\n</tool_response>' -}}
{%- else -%}
{{- '<|im_start|>' + message.role + '\\n' + (message.content or '') -}}
{%- for call in message.tool_calls or [] -%}
{%- set f = call.function if call.function is defined else call -%}
{{- '\\n' if message.content or not loop.first else '' -}}
{{- '<tool_call>\\n{"name": ' + f.name|tojson + ', "arguments": ' -}}
{{- (f.arguments if f.arguments is string else f.arguments|tojson) + '}\\n</tool_call>' -}}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
"""


def train_tokenizer(texts: Iterable[str], vocabulary: int = VOCABULARY) -> PreTrainedTokenizerFast:
    """Train the tokenizer.

    Args:
        texts: Rendered dialogues.
        vocabulary: Number of tokens, special ones included.
    """
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    specials = [AddedToken(text, special=True, normalized=False) for text in (PAD, START, END)]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - 2,
        special_tokens=specials,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    core.add_tokens(
        [
            AddedToken(text, special=False, normalized=False)
            for text in ("<tool_call>", "</tool_call>")
        ]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[START],
        clean_up_tokenization_spaces=False,
        model_max_length=4096,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the tokenizer's files."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
