"""What nvidia-smi prints on a composed server (docs.nvidia.com/deploy/nvidia-smi)."""

from __future__ import annotations

from datetime import UTC, datetime

from .hardware import Graphics, Host

LOST = 15
"""nvidia-smi's exit code where a GPU is lost: NVML_ERROR_GPU_IS_LOST."""
_WIDTH = 89
_CUDA = {"580": "13.0", "570": "12.8", "550": "12.4", "535": "12.2", "470": "11.4"}


def _row(card: Graphics, version: str, fields: int) -> str:
    bus = f"0000{card.address.upper()}"
    if card.gone:
        return ", ".join([bus, *["[GPU is lost]"] * (fields - 1)])
    display = "Enabled" if card.display else "Disabled"
    return ", ".join([bus, card.name, str(card.memory_mib), version, card.capability, card.mig, display][:fields])


def query(host: Host, fields: int = 7) -> tuple[str, int]:
    """`nvidia-smi --query-gpu=…`: bus, name, MiB, driver and, of seven, compute capability, MIG, display; exit code."""
    text = ""
    for card in host.graphics:
        if card.error:
            return text + f"{card.error}\n", LOST
        text += _row(card, host.driver_version, fields) + "\n"
    return text, LOST if any(card.gone for card in host.graphics) else 0


def table(host: Host) -> tuple[str, int]:
    """Plain `nvidia-smi`, names of processes cut out as the probe does; its exit code."""
    now = datetime.fromtimestamp(host.at + host.skew_s, UTC).strftime("%a %b %e %H:%M:%S %Y")
    refused = next((card.error for card in host.graphics if card.error), "")
    if refused:
        return f"{refused}\n", LOST
    version = host.driver_version
    line = "+-----------------------------------------+------------------------+----------------------+\n"
    text = f"{now}       \n+{'-' * _WIDTH}+\n"
    cuda = _CUDA[version.partition(".")[0]]
    text += f"| NVIDIA-SMI {version:<22} Driver Version: {version:<14} CUDA Version: {cuda:<8} |\n{line}"
    text += (
        "| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |\n"
        "| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |\n"
        "|                                         |                        |               MIG M. |\n"
        "|=========================================+========================+======================|\n"
    )
    for number, card in enumerate(host.graphics):
        bus = f"0000{card.address.upper()}"
        name = card.name if len(card.name) <= 24 else card.name[:21] + "..."
        ecc = "0" if card.ecc else "N/A"
        mig = card.mig if card.mig != "[N/A]" else "N/A"
        if card.gone:
            text += (
                f"| {number:>3}  {name:<24}       On  |   {bus} {'Off':>3} |                 ERR! |\n"
                f"|ERR!  ERR! ERR!              ERR! / ERR! |{f'ERR! /  {card.memory_mib}MiB':>23} |"
                "     ERR!         ERR! |\n"
            )
        else:
            shown = "On" if card.display else "Off"
            fan = "N/A" if card.ecc else " 0%"
            text += (
                f"| {number:>3}  {name:<24}       On  |   {bus} {shown:>3} |{ecc:>21} |\n"
                f"| {fan}   36C    P8             17W /  {card.watts:>3}W |"
                f"{f'{card.used_mib}MiB /  {card.memory_mib}MiB':>23} |"
                f"{'N/A' if mig == 'Enabled' else '0%':>8}{'Default':>13} |\n"
            )
        text += f"|                                         |                        |{mig:>21} |\n{line}"
    text += "\n" + _slices(host) + f"+{'-' * _WIDTH}+\n| Processes:{' ' * 78}|\n"
    text += (
        "|  GPU   GI   CI              PID   Type   Process name                        GPU Memory |\n"
        "|        ID   ID                                                               Usage      |\n"
        f"|{'=' * _WIDTH}|\n"
    )
    processes = [(number, kind) for number, card in enumerate(host.graphics) for kind in card.processes]
    for place, (number, kind) in enumerate(processes):
        text += f"| {number:>4}   N/A  N/A {2211 + 37 * place:>16} {kind:>6}   \n"
    if not processes:
        text += f"|  No running processes found{' ' * 61}|\n"
    return text + f"+{'-' * _WIDTH}+\n", LOST if any(card.gone for card in host.graphics) else 0


def _slices(host: Host) -> str:
    """The MIG devices of GPUs that are cut up: seven of 5 GB each."""
    if not any(card.mig == "Enabled" for card in host.graphics):
        return ""
    line = "+------------------+----------------------------------+-----------+-----------------------+\n"
    text = f"+{'-' * _WIDTH}+\n| MIG devices:{' ' * 76}|\n{line}"
    text += (
        "| GPU  GI  CI  MIG |                     Memory-Usage |        Vol|        Shared         |\n"
        "|      ID  ID  Dev |                       BAR1-Usage | SM     Unc| CE ENC  DEC  OFA  JPG |\n"
        "|                  |                                  |        ECC|                       |\n"
        "|==================+==================================+===========+=======================|\n"
    )
    for number, card in enumerate(host.graphics):
        for device in range(7 if card.mig == "Enabled" else 0):
            text += (
                f"| {number:>2}  {7 + device:>4}   0   {device} |              12MiB /  4864MiB    | 14      0 |"
                "  1   0    0    0    0 |\n"
                f"|                  |                 0MiB /  8191MiB  |           |                       |\n{line}"
            )
    return text + "\n"
