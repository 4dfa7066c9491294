#!/usr/bin/env bash
# Can the network learn from recordings of people? Trains on every RAVDESS face-crop clip of a folder, scores the same clips,
# and predicts one of them. It says nothing about people whom the network has not seen.
#   bash examples/learning_check.sh FOLDER [OUTPUT]
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="${BIN:+$BIN:}$PATH"
folder=${1:?give the folder with the face crops, files like 01-01-05-02-01-01-05.mp4}
output=${2:-runs/learning_check}

resume=()
[ -e "$output/training_arguments.json" ] && resume=(--resume)
accelerate launch --cpu --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no \
    train.py --config configs/learning_check.yaml --data_dir "$folder" --output_dir "$output" "${resume[@]}"
clip=$(find -L "$folder" -name '01-01-05-*.mp4' | sort | head -n 1)
[ -n "$clip" ] || { echo "$folder holds no clip named 01-01-05-*.mp4 (angry) to predict." >&2; exit 1; }
tacfn predict "$clip" --model "$output" --plot "$output/prediction.png"
echo "The name of the clip says angry (its third field is 05)."
