#!/usr/bin/env bash
# accelerate 1.15.0: on a CPU, `accelerate launch --num_processes 2` starts one process and says nothing.
#
# Where there is no GPU (or with --cpu) the launcher runs the script once, whatever --num_processes says, unless an MPI
# host file is named. Training then takes twice as long as planned and, worse, its batches are half as large as the
# recipe's: no error, no warning, exit status 0. Only Accelerator().num_processes tells.
#
# Seen: accelerate launch --cpu --num_processes 2   processes: 1
#       torchrun --nproc_per_node 2                 processes: 2
#
# Workaround: torchrun, with ACCELERATE_USE_CPU=true where there is a GPU.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 accelerate==1.15.0
cat > "$work/script.py" <<'PYTHON'
from accelerate import Accelerator

accelerator = Accelerator(cpu=True)
if accelerator.is_main_process:
    print("processes:", accelerator.num_processes)
accelerator.end_training()
PYTHON
export ACCELERATE_USE_CPU=true OMP_NUM_THREADS=1
told=$("$work/venv/bin/accelerate" launch --cpu --num_processes 2 --num_machines 1 --mixed_precision no \
    --dynamo_backend no "$work/script.py" 2> "$work/errors")
echo "accelerate launch --cpu --num_processes 2   $told"
by_torchrun=$("$work/venv/bin/torchrun" --nproc_per_node 2 "$work/script.py" 2> /dev/null)
echo "torchrun --nproc_per_node 2                 $by_torchrun"
[ "$told" = "processes: 1" ] && [ "$by_torchrun" = "processes: 2" ] || { echo "the behaviour has changed"; exit 1; }
if grep -qi "num_processes" "$work/errors"; then
    echo "the behaviour has changed: it is told now"
    exit 1
fi
