"""What accelerators can do at best, as their makers say; nothing here was measured.

Figures of NVIDIA's data sheets and white papers are those without sparsity, of the SXM boards where
there are several. Those of TPUs are in Google's documentation of Cloud TPU.
"""

from typing import NamedTuple

from cgar_jax._core.registry import check_name


class Device(NamedTuple):
    """One accelerator, and what joins it to others. Bytes and operations are per device.

    Attributes:
      bfloat16_flops: of matrix products per second.
      float32_flops: of matrix products of float32 arrays per second at JAX's default precision:
        TF32 on NVIDIA's tensor cores, one bfloat16 pass on TPUs.
      memory: bytes.
      memory_bandwidth: bytes per second.
      joined: devices that the fast links reach: of one host, or of the largest slice.
      link_bandwidth: bytes per second over these links, in one direction.
      network_bandwidth: bytes per second beyond them, in one direction; 0 where no figure is known.
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
    # NVIDIA's data sheets. The network is that of a DGX: one port for each GPU.
    "a100-40gb": Device(312e12, 156e12, 40e9, 1.555e12, 8, 300e9, 25e9),
    "a100-80gb": Device(312e12, 156e12, 80e9, 2.039e12, 8, 300e9, 25e9),
    "h100": Device(989e12, 494e12, 80e9, 3.35e12, 8, 450e9, 50e9),
    "h200": Device(989e12, 494e12, 141e9, 4.8e12, 8, 450e9, 50e9),
    # Less certain: data sheets of the B200 differ by a few per cent from one board to another.
    "b200": Device(2250e12, 1100e12, 180e9, 7.7e12, 8, 900e9, 50e9),
    # Cards on PCIe 4.0 x16; hosts and networks differ too much for a figure.
    "l4": Device(121e12, 60e12, 24e9, 0.3e12, 8, 32e9, 0.0),
    "rtx-4090": Device(165e12, 82.6e12, 24e9, 1.008e12, 8, 32e9, 0.0),
    # Google's documentation. Links: all of a chip's together; network: a pod's, or a host's, by
    # the number of its chips. Less certain: the links and the network of v4.
    "v4": Device(275e12, 275e12, 32 * GIB, 1.2e12, 4096, 300e9, 6.25e9),
    "v5e": Device(197e12, 197e12, 16e9, 0.819e12, 256, 200e9, 3.1e9),
    "v5p": Device(459e12, 459e12, 95 * GIB, 2.765e12, 6144, 600e9, 6.25e9),
    "v6e": Device(918e12, 918e12, 32e9, 1.6e12, 256, 400e9, 12.5e9),
}


def device(name: str) -> Device:
    """The device of this name.

    Raises:
      ValueError: there is none; the message names the nearest.
    """
    check_name("device", name, DEVICES)
    return DEVICES[name]
