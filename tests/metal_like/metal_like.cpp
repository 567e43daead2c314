// Metal's rule for memory of others, on MLX's CPU build: what `array(pointer, shape, dtype, deleter)` is given is
// kept if it starts on a page and has whole pages, and copied otherwise. For tests alone: scripts/metal-like preloads it.
//
// It stands between the program and libmlx.so, and replaces three things that the library calls by name: the allocator,
// by one that passes everything on but what concerns such memory; the address of a buffer's contents; and the counters.
// `make_buffer` itself is an inline virtual of a class that is not exported, so there is no symbol of it.
//
// As on Metal: the rule; active and peak memory count what was kept, once an array made over it, until just before its
// deleter runs; the size that MLX asks for before it lets an operation write where its input was.
// Allocations over a limit throw, once a test has set one.
// Not as on Metal: that the memory be one map, and not too large for one buffer; the wired limit; deleters on the thread on
// which a command buffer completes. Here the thread that drops the last handle runs it, or MLX's own of the stream.
#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "mlx/allocator.h"

namespace {

using mlx::core::allocator::Allocator;
using mlx::core::allocator::Buffer;

// What stands for a Metal buffer. MLX's own buffers are addresses of malloc's, which are even; one of these is told apart
// by its lowest bit.
struct Kept {
  void* memory;
  size_t bytes;
};

std::atomic<size_t> kept_bytes{0};
std::atomic<size_t> kept_buffers{0};
std::atomic<size_t> peak_bytes{0};
std::atomic<size_t> most{SIZE_MAX};

Kept* kept(const Buffer& buffer) {
  auto address = reinterpret_cast<uintptr_t>(buffer.ptr());
  return (address & 1) != 0 ? reinterpret_cast<Kept*>(address - 1) : nullptr;
}

[[noreturn]] void give_up(const char* why, const char* what) {
  std::fprintf(stderr, "metal_like: %s: %s\n", why, what);
  std::abort();
}

// MLX's own. It is looked for when it is needed first: programs without MLX load this library, too (a shell, cargo).
template <typename Function>
Function* of_mlx(const char* symbol) {
  if (void* found = dlsym(RTLD_NEXT, symbol)) return reinterpret_cast<Function*>(found);
  give_up("libmlx.so is not linked, or is another version: it has no", symbol);
}

size_t active_bytes() {
  static auto own = of_mlx<size_t()>("_ZN3mlx4core17get_active_memoryEv");
  return own() + kept_bytes;
}

void note_peak() {
  const size_t now = active_bytes();
  size_t before = peak_bytes;
  while (before < now && !peak_bytes.compare_exchange_weak(before, now)) {
  }
}

// 16384 is Apple silicon's.
size_t page_size() {
  const char* set = std::getenv("METAL_LIKE_PAGE");
  const size_t page = set ? std::strtoul(set, nullptr, 10) : sysconf(_SC_PAGESIZE);
  if (page < 16 || (page & (page - 1)) != 0) give_up("METAL_LIKE_PAGE is no size of a page", set ? set : "");
  return page;
}

class MetalLike final : public Allocator {
 public:
  Buffer malloc(size_t size) override {
    if (size > most) throw std::runtime_error("metal_like: more than the largest buffer");
    Buffer made = own_.malloc(size);
    note_peak();
    return made;
  }

  void free(Buffer buffer) override {
    // Metal would put it into its cache and give it to others.
    if (kept(buffer)) give_up("memory of others was to be freed", "release() is for it");
    own_.free(buffer);
  }

  size_t size(Buffer buffer) const override {
    const Kept* ours = kept(buffer);
    return ours ? ours->bytes : own_.size(buffer);
  }

  Buffer make_buffer(void* memory, size_t bytes) override {
    const auto address = reinterpret_cast<uintptr_t>(memory);
    const bool whole_pages = ((address | bytes) & (page_ - 1)) == 0;
    if (!memory || bytes == 0 || !whole_pages) return Buffer{nullptr};  // MLX copies.
    const auto record = reinterpret_cast<uintptr_t>(new Kept{memory, bytes});
    kept_bytes += bytes;
    kept_buffers += 1;
    note_peak();
    return Buffer{reinterpret_cast<void*>(record | 1)};
  }

  // The array calls the deleter after this.
  void release(Buffer buffer) override {
    Kept* ours = kept(buffer);
    if (!ours) return;
    kept_bytes -= ours->bytes;
    kept_buffers -= 1;
    delete ours;
  }

 private:
  Allocator& own_ = of_mlx<Allocator&()>("_ZN3mlx4core9allocator9allocatorEv")();
  const size_t page_ = page_size();
};

}  // namespace

// For tests, which find them by name: that they run under this library, and how many buffers are kept; the most bytes
// that MLX may allocate at once.
extern "C" size_t metal_like_buffers() { return kept_buffers; }
extern "C" void metal_like_refuse_over(size_t bytes) { most = bytes; }

namespace mlx::core {

MLX_API size_t get_active_memory() { return active_bytes(); }
MLX_API size_t get_peak_memory() { return peak_bytes; }
MLX_API void reset_peak_memory() { peak_bytes = 0; }

namespace allocator {

MLX_API Allocator& allocator() {
  // Never destroyed: arrays may go when the process exits.
  static auto* only = new MetalLike;
  return *only;
}

void* Buffer::raw_ptr() {
  if (const Kept* ours = kept(*this)) return ours->memory;
  static auto own = of_mlx<void*(Buffer*)>("_ZN3mlx4core9allocator6Buffer7raw_ptrEv");
  return own(this);
}

}  // namespace allocator
}  // namespace mlx::core
