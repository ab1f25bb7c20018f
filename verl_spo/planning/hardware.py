"""What a plan assumes of a GPU."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Hardware:
    """What is assumed of a GPU; defaults are an H100 SXM's.

    Attributes:
        memory: GiB. vLLM and torch see a little less than what the name of a GPU says.
        reserve: GiB of CUDA's context, NCCL's buffers, a sleeping vLLM, fragments. Assumed.
        tflops: Peak in bf16, 1e12 a second (verl/utils/flops_counter.py).
        mfu: Share of the peak that training reaches. Assumed.
        bandwidth: Of the GPU's memory, 1e12 bytes a second (NVIDIA's data sheet).
        bandwidth_use: Share of it that decoding reaches. Assumed.
        transfer: 1e9 bytes a second between host and GPU, one way, and between trainer and vLLM. Assumed: half of what
            PCIe 5 x16 has.
    """

    memory: float = 80.0
    reserve: float = 4.0
    tflops: float = 989.0
    mfu: float = 0.4
    bandwidth: float = 3.35
    bandwidth_use: float = 0.5
    transfer: float = 32.0

    @property
    def flops(self) -> float:
        """That one GPU makes in a second."""
        return self.tflops * 1e12 * self.mfu

    @property
    def bytes_read(self) -> float:
        """That one GPU reads of its memory in a second."""
        return self.bandwidth * 1e12 * self.bandwidth_use
