// Included before every mlx-c source on Linux, and before its headers when bindgen reads
// them. It fills what mlx-c leaves to Apple's toolchain.
#ifndef MLX_WIRED_PRELUDE_H
#define MLX_WIRED_PRELUDE_H

// mlx-c leaves out its half-precision accessors wherever the compiler has no Arm half types,
// and mlx-rs needs them everywhere. Claiming the guard of mlx/c/half.h replaces its types on
// every architecture alike, and spares bindgen the compiler-specific <arm_fp16.h>.
#define MLX_HALF_H
#define HAS_FLOAT16
#define HAS_BFLOAT16

#ifdef __cplusplus

#include "mlx/types/half_types.h"
using mlx::core::bfloat16_t;
using mlx::core::float16_t;

// mlx-c uses std::format without including its header, and GCC before 13 has none.
#if __has_include(<format>)
#include <format>
#else
#include <sstream>
#include <string>
#include <string_view>

// Only what mlx-c uses: plain {} for anything that can be streamed.
namespace std {
template <typename... Args>
string format(string_view text, const Args&... args) {
  ostringstream out;
  auto next = [&](const auto& arg) {
    auto at = text.find("{}");
    out << text.substr(0, at) << arg;
    text.remove_prefix(at == string_view::npos ? text.size() : at + 2);
  };
  (next(args), ...);
  out << text;
  return out.str();
}
} // namespace std
#endif

#else

// What mlx-rs expects of the bindings: bindgen makes a one-field struct of _Float16, as it
// does of Arm's __fp16, and mlx-rs reads bfloat16 as plain bits.
#include <stdint.h>
typedef _Float16 float16_t;
typedef uint16_t bfloat16_t;

#endif
#endif
