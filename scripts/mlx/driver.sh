# Sourced by cuda.sh, and by the script of a pack: whether NVIDIA's driver is new enough.

# The kernel's part of the driver says its version here. WSL's has no such file.
driver_file=/proc/driver/nvidia/version
driver_needed=580

# `python` is a pack's own, if there is one.
check_driver() { # HINT...
  local said cuda
  [[ -r $driver_file ]] || return 0
  # Its first line. The next is the compiler's.
  IFS= read -r said <"$driver_file" || [[ $said ]] || return 0
  [[ $said =~ ^NVRM\ version:.*[[:space:]](([0-9]+)\.[0-9.]+)([[:space:]]|$) ]] || return 0
  said=${BASH_REMATCH[1]}
  if ((BASH_REMATCH[2] >= driver_needed)); then return 0; fi
  # With NVIDIA's forward compatibility the part outside the kernel is newer.
  cuda=$("${python:-python3}" -c 'import ctypes
version = ctypes.c_int()
ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version))
print(version.value)' 2>/dev/null) || cuda=0
  ((cuda >= 13000)) ||
    die "NVIDIA's driver is $said, and MLX's CUDA build needs $driver_needed or newer: install one." "$@"
}
