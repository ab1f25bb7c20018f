#!/usr/bin/env bash
# Install verl-spo and what it lacks into the environment of `python3`, all that was built for the GPU staying as it is.
#
#     install.sh PROJECT_OR_WHEEL [EXTRAS]
#
# EXTRAS: all, if not given (docs/launching.md). If verl needs another version of what has to stay, pip says so and ends.
set -euo pipefail
source=$1
extras=${2:-all}

stays='torch|torchvision|torchaudio|triton|vllm|flash[-_.]attn.*|flashinfer.*|transformer[-_.]engine.*|megatron[-_.].*|apex|nvidia[-_.].*'
constraints=$(mktemp)
trap 'rm -f "$constraints"' EXIT
# Only what names a version can be held by it; a package that was built from a checkout names one here, too.
python3 -m pip list --format=freeze --disable-pip-version-check | grep -iE "^($stays)==" >"$constraints" || true
echo "staying as they are:" && sed 's/^/  /' "$constraints"

python3 -m pip install --no-cache-dir --constraint "$constraints" "${source}[${extras}]"
verl-spo --version
