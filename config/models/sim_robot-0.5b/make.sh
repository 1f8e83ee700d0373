#!/usr/bin/env bash
# Make this adapter again, from nothing: config/models/sim_robot-0.5b/make.sh FOLDER [STEPS]
#
# It grew in thirteen runs. Each began with the adapter of the one before, over conversations from the
# tables of its time; so the data are written by the commits of that time, and their checksums must
# be those of the time. Everything stays in FOLDER, and what was stopped goes on where it stopped.
# About fourteen hours on two CPU cores with AMX. Needs a clone with its history, and `async-agent`
# with the extra `training` on the PATH. On other processors the sums are rounded otherwise (the
# last two runs learned on two cores without AMX): the adapter is then of the same kind, not the
# same to the last bit. With STEPS each run stops after so many: with 1, a rehearsal of all of it.
set -euo pipefail

here=$(realpath "$(dirname "$0")")
root=$(git -C "$here" rev-parse --show-toplevel)
out=$(realpath -m "${1:?usage: make.sh FOLDER [STEPS]}")
most=${2:-}
python=$(dirname "$(command -v async-agent)")/python

data() {    # RUN COMMIT SHA256 OPTION...
    local run=$1 commit=$2 sum=$3 source="$out/$1/source"
    shift 3
    [ -f "$out/$run/data/card.json" ] && return
    mkdir -p "$out/$run"
    git -C "$root" worktree add --force --detach "$source" "$commit"
    (cd "$source" && PYTHONPATH="$source" "$python" -c \
        'import sys; from async_agent_ros.cli import main; sys.exit(main())' \
        train synthesize --tools sim --out "$out/$run/data" "$@")
    git -C "$root" worktree remove --force "$source"
    if ! echo "$sum  $out/$run/data/train.jsonl" | sha256sum --check --status; then
        echo "$out/$run/data/train.jsonl is not what run $run learned from" >&2
        rm "$out/$run/data/card.json"
        exit 1
    fi
}

train() {    # RUN STEPS UNTIL LEARNING_RATE START OPTION...
    [ -d "$out/$1/run/adapter" ] && return
    async-agent train sft --data "$out/$1/data" --out "$out/$1/run" \
        --preset qwen2.5-coder-0.5b-cpu --threads 2 --steps "$2" --until "${most:-$3}" \
        --set save_every=20 --set "valid_every=$2" --set "learning_rate=$4" --set "start=$5" "${@:6}"
}

data 1 7399e940f6a9 45d11a0f8fea38dccf76d4adda74735ddec2c0b94bc8e47ecc48240b5642d467 \
    --conversations 1000 --seed 1 --own 0.5
train 1 190 100 8e-4 ''
data 2 1e4c2c8fff25 5bcfc1c04738be1a6a0f87a74b58eab846def2878e3ef4329e01f0a7cf7cbd18 \
    --conversations 900 --seed 2 --own 0.45
train 2 190 190 6e-4 "$out/1/run/checkpoint/adapter"
data 3 10451f6639b7 422c85b7b36e2074b92cbbd23a36c84795dd9054a75f1578fa4c79fcedf48781 \
    --conversations 1200 --seed 21 --own 0.4 --per-robot 5
train 3 340 300 5e-4 "$out/2/run/adapter"
data 4 64bf3dda0d64 d8f0825351324d283a47d065d24f527e71a4b2275744802bf98123dad5cda946 \
    --conversations 1150 --seed 22 --own 0.4 --per-robot 5
train 4 335 280 5e-4 "$out/3/run/adapter"
async-agent train average "$out/3/run/adapter" "$out/4/run/adapter" -o "$out/4/mean"
data 5 5621ae77cba3 24c03a50e6f73db2a0e72f2d0748b8c226f0d70765fb0ee7d5c909356b65eb7d \
    --conversations 1150 --seed 23 --own 0.4 --per-robot 5
train 5 320 280 5e-4 "$out/4/mean"
async-agent train average "$out/4/mean" "$out/5/run/adapter" -o "$out/5/mean"
data 6 9f8c7b6d165b fcff5fbc35ff260317e254e1018b6731a9f6db274be5480ab9cf3766086e1c9a \
    --conversations 1150 --seed 24 --own 0.45 --stream 0.35 --per-robot 5
train 6 310 240 5e-4 "$out/5/mean"
async-agent train average "$out/5/mean" "$out/6/run/adapter" -o "$out/6/mean"
data 7 56727e301097 7ccc97f645ba1199b77198f4a2a36b994f5d60870c06ca13cb30a57953edf87f \
    --conversations 1250 --seed 27 --own 0.4 --stream 0.35 --per-robot 5
train 7 320 320 5e-4 "$out/6/mean"
async-agent train average "$out/6/mean" "$out/7/run/adapter" -o "$out/7/mean"
data 8 ca9aafd7b087 5c85ccbd669d5c994a26a3b660b7bb1ded3ba08ed3540cdd88023f955323c8b4 \
    --conversations 1300 --seed 28 --own 0.4 --stream 0.35 --per-robot 5
train 8 320 320 5e-4 "$out/7/mean" --set top_layers=18
async-agent train average "$out/7/mean" "$out/8/run/adapter" -o "$out/8/mean"
data 9 6b5b1636da5b c3e49d93a257351980dc66140614ae2a48a4130be6a2910606d29afd61fbfb7f \
    --conversations 1300 --seed 29 --own 0.4 --stream 0.35 --per-robot 5
train 9 240 240 5e-4 "$out/8/mean" --set top_layers=18
async-agent train average "$out/8/mean" "$out/9/run/adapter" -o "$out/9/mean"
data 10 fee76c428db4 f7eb557b55ec8e6ff463f20dfae42ea2f4d5ec640b51f18c30cc3be635d461a3 \
    --conversations 1300 --seed 30 --own 0.45 --stream 0.4 --per-robot 5
train 10 240 140 5e-4 "$out/9/mean" --set top_layers=18
async-agent train average "$out/9/mean" "$out/10/run/adapter" -o "$out/10/mean"
data 11 446994f89db7 26888aad41b5e643c3eae4109b4fbe5b36efbb701b2e32346021b60b114840f7 \
    --conversations 1300 --seed 31 --own 0.45 --stream 0.5 --per-robot 5
train 11 240 240 5e-4 "$out/10/mean" --set top_layers=18
async-agent train average "$out/10/mean" "$out/11/run/adapter" -o "$out/11/mean"
data 12 f816f0549e7e bd06f98a9d155e67dd16e9eb5b1e5ac674409f5b39c65c42c21078b190ce7f15 \
    --conversations 1450 --seed 32 --own 0.45 --stream 0.5 --per-robot 5
train 12 116 116 3e-4 "$out/11/mean" --set top_layers=18
async-agent train average "$out/11/mean" "$out/12/run/adapter" -o "$out/12/mean" --weight 0.6
data 13 33768c9b3deb 933913fe49c0991112d29346a6cf97849cdaaaa53707edc53003c76900250f5a \
    --conversations 1450 --seed 33 --own 0.4 --stream 0.45 --per-robot 5
train 13 116 100 5e-4 "$out/12/mean" --set top_layers=18
async-agent train average "$out/12/mean" "$out/13/run/adapter" -o "$out/adapter" --weight 0.4
async-agent train export "$out/adapter" --model qwen2.5-coder-0.5b -o "$out/adapter.gguf"
if [ -z "$most" ]; then
    cmp "$out/adapter.gguf" "$here/adapter.gguf" && echo 'the same, byte for byte'
fi
