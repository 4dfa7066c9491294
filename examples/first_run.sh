#!/usr/bin/env bash
# The main job from nothing: a corpus is made, a TACFN trained on it and tested on speakers it never saw, one clip predicted.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="${BIN:+$BIN:}$PATH"
corpus=runs/corpus
model=runs/synthetic

python -m dataset_scripts.synthetic "$corpus" --speakers 16 --clips 20
resume=()
[ -e "$model/training_arguments.json" ] && resume=(--resume)
accelerate launch --cpu --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no \
    train.py --config configs/synthetic.yaml --data_dir "$corpus" --output_dir "$model" "${resume[@]}"
# Actor 01 was tested, not trained on.
tacfn predict "$corpus/Actor_01/01-01-03-02-01-01-01.mp4" --model "$model" --plot runs/prediction.png
echo "Pictures: runs/prediction.png, $model/learning_curve.png, $model/confusion_matrix.png"
