#!/usr/bin/env bash
# Sound and action units of RAVDESS: TACFN, concatenation, sound alone, action units alone; two protocols, 5 folds of 4 actors, 3 seeds.
#   bash examples/ravdess_au.sh FOLDER [OUTPUT]
# FOLDER holds the official sound files and openface_au_mean.csv. Interrupted, the same command goes on where it stopped.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="${BIN:+$BIN:}$PATH"
folder=${1:?give the folder with the RAVDESS sound files and openface_au_mean.csv}
output=${2:-runs/ravdess_au}
mkdir -p "$output"
# Small networks: a thread per training and a training per core is faster than two threads for one.
export OMP_NUM_THREADS=1

train() { # protocol name [options …]
    local protocol=$1 name=$2 target="$output/$2_$1" resume=()
    shift 2
    echo "$name, $protocol: progress in $target.log"
    [ -e "$target/training_arguments.json" ] && resume=(--resume)
    accelerate launch --cpu --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no train.py \
        --config configs/ravdess_au.yaml --data_dir "$folder" --name "$name" --protocol "$protocol" \
        --all_folds --seeds 0 1 2 --output_dir "$target" --report_to none "${resume[@]}" "$@" 2>"$target.log"
}

# The first call prepares the features which the others find in the cache.
python -c '
import sys
from modeling_tacfn.experiment import load_inputs, parse_arguments
load_inputs(parse_arguments(["--config", "configs/ravdess_au.yaml", "--data_dir", sys.argv[1]]))
' "$folder"

export output folder
export -f train
# The longest first, so that both cores are busy to the end.
for method in "tacfn" "concatenation --model '{reinforced: []}'" "sound_only --modalities audio prosody" \
    "action_units_only --modalities action_units"; do
    for protocol in plain speaker-normalised; do echo "train $protocol $method"; done
done | xargs -P 2 -d '\n' -I COMMAND bash -c COMMAND

python -c '
import sys
from pathlib import Path
from modeling_tacfn.results import overview, results_table, save_json_atomic
folder = Path(sys.argv[1])
results = overview(sorted(folder.glob("*/results.json")), reference="tacfn")
save_json_atomic(folder / "overview.json", results)
(folder / "table.md").write_text(results_table(results["results"]))
print(results_table(results["results"], single_modality=False))
' "$output"
