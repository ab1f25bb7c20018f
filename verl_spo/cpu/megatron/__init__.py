"""megatron-core without an accelerator: verl's Megatron engine trains on the CPU, in fp32.

`redirection` lands what is said to CUDA on the CPU, `layers` stand in for Transformer Engine's modules, `bridge` lets
Megatron-Bridge be imported without them, `engine` puts all that into the processes that build a Megatron engine, and
into no other: vLLM's, the driver's and the TaskRunner's torch stay as they are. Lines of megatron-core's are those of
0.16.1, or those of 0.18.0 where that is said.
"""
