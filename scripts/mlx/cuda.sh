# Sourced by scripts/with-mlx: MLX's CUDA build, on a machine with a card (--cuda) or packed for one (--pack).
# The programs are those of the CPU build. Only libmlx.so is another, and it is found first.

has_card() {
  compgen -G '/dev/nvidia[0-9]*' >/dev/null || [[ -e /dev/dxg ]]
}

source "$parts/driver.sh"

cuda_key() { key make_cuda "$parts"/{cuda.txt,with-cuda} <<<"$arch"; }
nvidia_key() { key make_nvidia "$parts/nvidia.txt" <<<"$arch"; }

make_cuda() { # KEY
  local made=$mlx/cuda.part
  rm -rf -- "$made"
  unpack_wheels cuda "$parts/cuda.txt" "$made"
  # libmlx.so looks for NVIDIA's packages beside its own folder.
  ln -s ../nvidia/nvidia "$made/nvidia"
  install_file "$mlx/bin/with-cuda" <"$parts/with-cuda"
  chmod +x -- "$mlx/bin/with-cuda"
  install_dir "$made" "$mlx/cuda" "$1"
  rm -rf -- "$mlx/pip-cache"
}

make_nvidia() { # KEY
  local made=$mlx/nvidia.part
  rm -rf -- "$made"
  unpack_wheels nvidia "$parts/nvidia.txt" "$made"
  install_dir "$made" "$mlx/nvidia" "$1"
  rm -rf -- "$mlx/pip-cache"
}

prepare_cuda() { # [nvidia]
  local with_nvidia=${1-} cuda_want nvidia_want
  cuda_want=$(cuda_key)
  nvidia_want=$(nvidia_key)
  if stamped "$mlx/cuda" "$cuda_want"; then
    if [[ ! $with_nvidia ]] || stamped "$mlx/nvidia" "$nvidia_want"; then return; fi
  fi
  take_lock 'preparing CUDA'
  step_index=0 step_count=1
  if [[ $with_nvidia ]]; then step_count=2; fi
  step 'fetching the CUDA build of MLX from PyPI, 87 MB'
  if stamped "$mlx/cuda" "$cuda_want"; then
    step_kept
  else
    make_cuda "$cuda_want"
    step_done
  fi
  if [[ $with_nvidia ]] && ! stamped "$mlx/nvidia" "$nvidia_want"; then
    step "fetching NVIDIA's libraries from PyPI, 1.3 GB"
    make_nvidia "$nvidia_want"
    step_done
  fi
  drop_lock
}

# Has cargo start programs by this one: the cargo of this script takes what WITH_MLX_CONFIG names.
use_runner() { # PROGRAM
  local file=$mlx/${1##*/}.toml text
  text="[target.$triple]"$'\n'"runner = [\"$1\"]"
  if ! [[ -f $file && $(<"$file") == "$text" ]]; then install_file "$file" <<<"$text"; fi
  export WITH_MLX_CONFIG=$file
}

# A pack: what the command would have run, and MLX, in parts that a mail or an upload takes.
part_bytes=50000000

# Nothing is ever removed but an earlier pack, which its start script tells, once there is a new one; and what an
# interrupted run left of one. Only one run at a time packs into a folder: nothing keeps others out.
judge_pack() {
  local foreign
  mkdir -p -- "$pack" 2>/dev/null && [[ -w $pack ]] || die "$pack cannot be written."
  pack=$(cd -- "$pack" && pwd -P)
  [[ $pack != *[[:cntrl:]]* ]] || die 'the path of a pack has no control characters.'
  making=$pack/.with-mlx-making
  rm -rf -- "$making"
  foreign=$(ls -A -- "$pack")
  if grep -qs '^# Written by scripts/with-mlx ' -- "$pack/start"; then
    foreign=$(grep -vE '^(start|unpacked|part\.[0-9][0-9])$' <<<"$foreign") || foreign=
  fi
  [[ -z $foreign ]] || die "$pack has files that no pack wrote: name an empty folder."
}

begin_pack() {
  # There, where the next run removes what a killed one left.
  export WITH_MLX_PACK=$making/staged
  trap 'rm -rf -- "$making"; stop_ticker' EXIT
  mkdir -p -- "$WITH_MLX_PACK/programs" "$making/new"
}

# What a pack's script says is to be installed, as nvidia.txt pins it.
nvidia_pins() {
  sed -n 's/^\(nvidia-[a-z0-9-]*==[0-9.]*\) .*/\1/p' "$parts/nvidia.txt" | tr '\n' ' '
}

end_pack() {
  local sum bytes packages
  if [[ -e $WITH_MLX_PACK/doctests ]]; then
    say 'documentation tests are not packed: cargo test --tests has none.'
  fi
  [[ -s $WITH_MLX_PACK/commands ]] ||
    die 'the command ran no program to pack: it is cargo run, cargo test or cargo bench.'
  step_index=0 step_count=1
  step 'packing'
  tar -c -C "$mlx/cuda" mlx/lib/libmlx.so mlx/include mlx_cuda_13.libs \
    -C "$WITH_MLX_PACK" commands programs -C "$parts" driver.sh |
    gzip -6 | split -b "$part_bytes" -d - "$making/new/part." ||
    die "the pack could not be written: is the disk of $pack full?"
  sum=$(cat -- "$making"/new/part.* | sha256sum | cut -d' ' -f1)
  packages=$(nvidia_pins)
  sed -e "s/^sum=.*/sum=$sum/" -e "s/^packages=.*/packages='${packages% }'/" "$parts/pack-start" >"$making/new/start"
  chmod +x -- "$making/new/start"
  # In this order: at each moment a script is there, by which the next run knows a pack, or nothing is.
  rm -rf -- "$pack"/part.[0-9][0-9] "$pack/unpacked"
  mv -- "$making/new/start" "$pack/"
  mv -- "$making"/new/part.* "$pack/"
  rm -rf -- "$making"
  step_done
  bytes=$(cat -- "$pack"/part.* | wc -c)
  say "$(ls -- "$pack" | wc -l) files, $((bytes / 1000000)) MB, in $pack: copy them, and start ./start there"
}
