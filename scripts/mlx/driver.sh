# Sourced by cuda.sh, and by the script of a pack: whether NVIDIA's driver is new enough.

# The kernel's part of the driver says its version here. WSL's has no such file.
driver_file=/proc/driver/nvidia/version
driver_needed=580

check_driver() { # HINT...
  local said
  [[ -r $driver_file ]] && said=$(<"$driver_file") || return 0
  [[ $said =~ [[:space:]](([0-9]+)\.[0-9.]+)[[:space:]] ]] || return 0
  ((BASH_REMATCH[2] >= driver_needed)) ||
    die "NVIDIA's driver is ${BASH_REMATCH[1]}, and MLX's CUDA build needs $driver_needed or newer: install one." "$@"
}
