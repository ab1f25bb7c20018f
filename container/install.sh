#!/usr/bin/env bash
# Install verl-spo and what it lacks into the environment of `python3`, all that was built for the GPU staying as it is.
#
#     install.sh PROJECT_OR_WHEEL [EXTRAS]
#
# EXTRAS: all, if not given (docs/launching.md). If verl needs another version of what has to stay, pip says so and ends.
set -euo pipefail
source=$1
extras=${2:-all}

built='torch|torchvision|torchaudio|pytorch-triton|triton|xformers|vllm|sglang|sgl[-_.]kernel|sglang[-_.]kernel|flash[-_.].*|flashinfer.*'
built="$built|transformer[-_.]engine.*|megatron[-_.].*|apex|deep[-_.](ep|gemm)|cupy[-_.].*|cuda[-_.].*|nvidia[-_.].*"
stays=$(mktemp)
trap 'rm -f "$stays"' EXIT
python3 -m pip list --format=freeze --disable-pip-version-check >"$stays"
sed -i -nE "/^($built)==/Ip" "$stays"
grep -q '^torch==' "$stays" || {
    echo "install.sh: $(command -v python3) has no torch: this is for an environment with a GPU build of it" >&2
    exit 1
}
echo "staying as they are:" && sed 's/^/  /' "$stays"

# As requirements too, so that what they need themselves is looked at.
python3 -m pip install --no-cache-dir --constraint "$stays" --requirement "$stays" "${source}[${extras}]"
verl-spo --version
