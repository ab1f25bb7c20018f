"""vLLM's side, through its entry point group `vllm.general_plugins` (every vLLM process runs it)."""

from verl_spo.cpu import environment


def register() -> None:
    """Keep vLLM's weights reloadable on the CPU.

    vllm/model_executor/layers/utils.py packs each linear weight into a oneDNN handle and replaces the parameter by an
    empty one, so that verl's weight sync finds nothing to load into. Without oneDNN the live weight is used.
    """
    if not environment.is_selected():
        return
    import vllm._custom_ops as ops

    ops._supports_onednn = False
