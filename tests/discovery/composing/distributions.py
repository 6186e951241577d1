"""What distributions print of themselves: /etc/os-release and the end of `uname -a`."""

from __future__ import annotations

from .hardware import Distribution


def _ubuntu(version: str, codename: str, title: str, uname: str) -> Distribution:
    return Distribution(
        f'PRETTY_NAME="Ubuntu {title}"\nNAME="Ubuntu"\nVERSION_ID="{version}"\n'
        f'VERSION="{title} ({codename})"\nVERSION_CODENAME={codename.split()[0].lower()}\nID=ubuntu\nID_LIKE=debian\n'
        'HOME_URL="https://www.ubuntu.com/"\nSUPPORT_URL="https://help.ubuntu.com/"\n'
        'BUG_REPORT_URL="https://bugs.launchpad.net/ubuntu/"\n'
        'PRIVACY_POLICY_URL="https://www.ubuntu.com/legal/terms-and-policies/privacy-policy"\n'
        f"UBUNTU_CODENAME={codename.split()[0].lower()}\n",
        uname,
    )


NOBLE = _ubuntu(
    "24.04",
    "Noble Numbat",
    "24.04.3 LTS",
    "#88-Ubuntu SMP PREEMPT_DYNAMIC Sat Oct 11 09:28:41 UTC 2025 x86_64 x86_64 x86_64",
)
HWE = _ubuntu(
    "24.04",
    "Noble Numbat",
    "24.04.3 LTS",
    "#36~24.04.1-Ubuntu SMP PREEMPT_DYNAMIC Wed Oct 15 15:45:17 UTC 2 x86_64 x86_64 x86_64",
)
JAMMY = _ubuntu(
    "22.04", "Jammy Jellyfish", "22.04.5 LTS", "#170-Ubuntu SMP Wed Oct 1 10:08:04 UTC 2025 x86_64 x86_64 x86_64"
)
FOCAL = _ubuntu(
    "20.04", "Focal Fossa", "20.04.6 LTS", "#236-Ubuntu SMP Fri Apr 11 19:53:21 UTC 2025 x86_64 x86_64 x86_64"
)
BOOKWORM = Distribution(
    'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\n'
    'VERSION="12 (bookworm)"\nVERSION_CODENAME=bookworm\nID=debian\nHOME_URL="https://www.debian.org/"\n'
    'SUPPORT_URL="https://www.debian.org/support"\nBUG_REPORT_URL="https://bugs.debian.org/"\n',
    "#1 SMP PREEMPT_DYNAMIC Debian 6.1.158-1 (2025-11-09) x86_64",
)
