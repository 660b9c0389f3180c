"""What the benchmark knows of machines."""

import time

import torch

from seal_runtime.bench.machine import measured_peak_tflops, peak_memory_bytes, reset_peak_memory, stated_peak_tflops

CPU = torch.device("cpu")


def test_peaks_of_known_gpus_are_found_by_name():
    assert stated_peak_tflops("NVIDIA H200") == 989.0
    assert stated_peak_tflops("NVIDIA H100 PCIe") == 756.0
    assert stated_peak_tflops("NVIDIA H100 80GB HBM3") == 989.0
    assert stated_peak_tflops("NVIDIA L40S") == 362.0
    assert stated_peak_tflops("NVIDIA GeForce RTX 4090") == 165.0
    assert stated_peak_tflops("Some CPU, 1 thread(s)") is None


def test_a_matrix_product_has_a_rate():
    assert 0 < measured_peak_tflops(CPU, torch.float32, time.perf_counter) < 1000


def test_peak_memory_sees_what_was_touched_since_the_reset():
    reset_peak_memory(CPU)
    block = torch.ones(16 * 1024 * 1024)
    assert peak_memory_bytes(CPU) > block.numel() * block.element_size()
