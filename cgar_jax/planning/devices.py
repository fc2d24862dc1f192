"""Peak figures of accelerators, according to their vendors.

None of these figures was measured; `cgar_jax.planning.this_machine` measures CPUs. NVIDIA figures
come from data sheets and white papers, without sparsity, for the SXM board where several exist. TPU
figures come from Google's Cloud TPU documentation.
"""

from typing import NamedTuple


class Device(NamedTuple):
    """One accelerator and its links to others; bytes and operations are per device.

    Attributes:
      bfloat16_flops: FLOPs per second of bfloat16 matrix products.
      float32_flops: FLOPs per second of float32 matrix products at JAX's default precision (TF32 on
        NVIDIA's tensor cores, one bfloat16 pass on TPUs).
      memory: bytes of memory.
      memory_bandwidth: bytes per second between memory and compute units.
      joined: number of devices that the fast links connect (one host, or the largest slice).
      link_bandwidth: bytes per second over the fast links, in one direction.
      network_bandwidth: bytes per second beyond the fast links, in one direction; 0 if unknown.
    """

    bfloat16_flops: float
    float32_flops: float
    memory: float
    memory_bandwidth: float
    joined: int
    link_bandwidth: float
    network_bandwidth: float


GIB = 2**30

DEVICES = {
    # NVIDIA data sheets. The network is that of a DGX system, which has one port for each GPU.
    "a100-40gb": Device(312e12, 156e12, 40e9, 1.555e12, 8, 300e9, 25e9),
    "a100-80gb": Device(312e12, 156e12, 80e9, 2.039e12, 8, 300e9, 25e9),
    "h100": Device(989e12, 494e12, 80e9, 3.35e12, 8, 450e9, 50e9),
    "h200": Device(989e12, 494e12, 141e9, 4.8e12, 8, 450e9, 50e9),
    # Less certain: B200 data sheets differ by a few percent from one board to another.
    "b200": Device(2250e12, 1100e12, 180e9, 7.7e12, 8, 900e9, 50e9),
    # Cards on PCIe 4.0 x16. Their hosts and networks differ too much for one network figure.
    "l4": Device(121e12, 60e12, 24e9, 0.3e12, 8, 32e9, 0.0),
    "rtx-4090": Device(165e12, 82.6e12, 24e9, 1.008e12, 8, 32e9, 0.0),
    # Google's documentation. The link bandwidth sums all links of a chip; the network bandwidth is
    # that of a pod or host, divided by its number of chips. Less certain: links and network of v4.
    "v4": Device(275e12, 275e12, 32 * GIB, 1.2e12, 4096, 300e9, 6.25e9),
    "v5e": Device(197e12, 197e12, 16e9, 0.819e12, 256, 200e9, 3.1e9),
    "v5p": Device(459e12, 459e12, 95 * GIB, 2.765e12, 6144, 600e9, 6.25e9),
    "v6e": Device(918e12, 918e12, 32e9, 1.6e12, 256, 400e9, 12.5e9),
}
