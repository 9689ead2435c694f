"""ArmoRM's rewards by transformers' own Llama: none of the checkpoint's code is run.

That code imports what transformers 5 no longer has. The rewards need little of it: a linear layer,
`regression_layer`, on the last token's hidden state. The gate that mixes them into one score is
left out, as the paper reports two of the rewards and not that score.
"""

from dataclasses import dataclass

from torch import LongTensor, Tensor, nn
from transformers import LlamaConfig, LlamaModel, LlamaPreTrainedModel

_OBJECTIVES = 19


@dataclass(frozen=True, slots=True)
class Rewards:
    """What the model gives."""

    rewards: Tensor
    """[rows, objectives]"""


class ArmoRewards(LlamaPreTrainedModel):
    """The part of ArmoRM that gives one reward an objective.

    Args:
        config: the checkpoint's.
    """

    # The form in which transformers asks for it.
    _keys_to_ignore_on_load_unexpected = [r"gating\..*", "reward_transform_matrix"]  # noqa: RUF012

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        self.model = LlamaModel(config)
        objectives = getattr(config, "num_objectives", _OBJECTIVES)
        self.regression_layer = nn.Linear(config.hidden_size, objectives, bias=False)
        self.post_init()

    def forward(self, input_ids: LongTensor) -> Rewards:
        """Return the rewards of rows without padding."""
        hidden = self.model(input_ids=input_ids).last_hidden_state
        return Rewards(rewards=self.regression_layer(hidden[:, -1]))
