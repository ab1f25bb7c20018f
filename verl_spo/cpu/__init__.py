"""Everything that makes stock verl and vLLM run without an accelerator.

`environment` holds the variables, `platform` the official part (a verl platform), `patches` what no plug-in point
reaches, `vllm` vLLM's side. Nothing here has any effect unless `VERL_PLATFORM=cpu`.
"""

from verl_spo.cpu import environment


def activate() -> None:
    """Register the platform and apply the patches, if the user selected the CPU."""
    if not environment.is_selected():
        return
    environment.complete()
    from verl_spo.cpu import patches, platform

    platform.register()
    patches.apply()
