# Sourced by scripts/with-mlx: MLX's CUDA build, on a machine with a card (--cuda) or packed for one (--pack).
# The programs are those of the CPU build. Only libmlx.so is another, and it is found first.

has_card() {
  compgen -G '/dev/nvidia[0-9]*' >/dev/null || [[ -e /dev/dxg ]]
}

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

begin_pack() {
  mkdir -p -- "$pack" 2>/dev/null && [[ -w $pack ]] || die "$pack cannot be written."
  pack=$(cd -- "$pack" && pwd -P)
  [[ $pack != *[[:cntrl:]]* ]] || die 'the path of a pack has no control characters.'
  # Nothing is removed but an earlier pack, which its start script tells.
  if grep -qs '^# Written by scripts/with-mlx ' -- "$pack/start"; then
    rm -rf -- "$pack"/part.[0-9][0-9] "$pack/start" "$pack/unpacked"
  fi
  [[ -z $(ls -A -- "$pack") ]] || die "$pack has files that no pack wrote: name an empty folder."
  export WITH_MLX_PACK=$mlx/packing.$$
  rm -rf -- "$WITH_MLX_PACK"
  mkdir -p -- "$WITH_MLX_PACK/programs"
}

end_pack() {
  local sum bytes
  [[ -s $WITH_MLX_PACK/commands ]] ||
    die 'the command ran no program to pack: it is cargo run, cargo test or cargo bench.'
  step_index=0 step_count=1
  step 'packing'
  tar -c -C "$mlx/cuda" mlx/lib/libmlx.so mlx/include mlx_cuda_13.libs -C "$WITH_MLX_PACK" commands programs |
    gzip -6 | split -b "$part_bytes" -d - "$pack/part."
  sum=$(cat -- "$pack"/part.* | sha256sum | cut -d' ' -f1)
  sed "s/^sum=.*/sum=$sum/" "$parts/pack-start" >"$pack/start"
  chmod +x -- "$pack/start"
  step_done
  bytes=$(cat -- "$pack"/part.* | wc -c)
  say "$(ls -- "$pack" | wc -l) files, $((bytes / 1000000)) MB, in $pack: copy them, and start ./start there"
}
