"""megatron-core without an accelerator: verl's Megatron engine trains on the CPU, in fp32.

`redirection` lands what is said to CUDA on the CPU, `layers` stand in for Transformer Engine's modules, `engine` puts
both into the processes that build a Megatron engine, and into no other: vLLM's, the driver's and the TaskRunner's torch
stay as they are.
"""
