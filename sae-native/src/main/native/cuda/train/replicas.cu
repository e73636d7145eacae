/*
 * replicas.cu: several trainers of one SAE, on one device or on several: sums are added up in one of them, which
 * does the update; its parameters and idle counters are then copied to the others.
 *
 * Bytes moved: add: 4 (2 m d + m + d) + m bytes; copy: 4 (2 m d + m + d) + 16 m. Copies
 * between devices are direct where the hardware allows it (NVLink, PCIe peers), otherwise CUDA goes through the host.
 * The target pulls, on its own stream: one event makes it wait for the source's operations so far, another makes the
 * source's later ones wait for the copy; the host waits for neither. Sums pass through kStageBytes of scratch. Not yet
 * run on a GPU.
 */
#include "../encode/shadow_copies.h"
#include "../operations.h"
#include "accumulate.h"
#include "step_state.h"
#include "trainer.h"

namespace sae::cuda {
namespace {

#ifndef SAE_STAGE_BYTES // tests on the CPU make it small
#define SAE_STAGE_BYTES (64 << 20)
#endif
constexpr int64_t kStageBytes = SAE_STAGE_BYTES;

/* Work queued on `then` from now on starts after everything queued on `first` so far. Leaves the device of `first`
 * current. */
void order(const Context &first, const Context &then) {
    first.activate();
    Event passed;
    passed.record(first.stream);
    passed.wait_on(then.stream);
}

/* With the device of `into` current: enables direct copies from the device of `from`, once. */
void connect(Context &into, const Context &from) {
    const uint64_t bit = uint64_t{1} << (from.device % 64);
    if (into.device == from.device || (into.asked_peers & bit) != 0) {
        return;
    }
    into.asked_peers |= bit;
    int possible = 0;
    check(cudaDeviceCanAccessPeer(&possible, into.device, from.device), "querying whether two devices are connected");
    if (possible != 0) {
        const cudaError_t error = cudaDeviceEnablePeerAccess(from.device, 0);
        if (error != cudaErrorPeerAccessAlreadyEnabled) {
            check(error, "connecting two devices");
        }
        cudaGetLastError();
    }
}

/* A pull from another trainer's context: `into` is ordered after that context, and that context after the pull on
 * destruction. */
class Pull {
  public:
    Pull(Context &into, Context &from) : into_(into), from_(from) {
        order(from, into);
        into.activate();
        connect(into, from);
    }
    void finish() { order(into_, from_); }

    void copy(void *target, const void *source, int64_t bytes) const {
        const auto size = static_cast<size_t>(bytes);
        check(into_.device == from_.device
                  ? cudaMemcpyAsync(target, source, size, cudaMemcpyDeviceToDevice, into_.stream)
                  : cudaMemcpyPeerAsync(target, into_.device, source, from_.device, size, into_.stream),
              "copying from one trainer to another");
    }

  private:
    Context &into_;
    Context &from_;
};

struct Stage {
    unsigned char *bytes; // [kStageBytes]
    StepStatus *status;

    explicit Stage(Carver &carver)
        : bytes(carver.take<unsigned char>(kStageBytes)), status(carver.take<StepStatus>(1)) {}
};

/* Calls piece(first, count) for [0, elements) in pieces that fit into the stage. */
template <typename Piece>
void in_pieces(int64_t elements, int64_t size, const Piece &piece) {
    const int64_t most = kStageBytes / size;
    for (int64_t first = 0; first < elements; first += most) {
        piece(first, std::min(most, elements - first));
    }
}

} // namespace

sae_status trainer_add(void *into_handle, int64_t into_pending, void *from_handle) {
    return guarded([&] {
        Trainer &into = *static_cast<Trainer *>(into_handle);
        const Trainer &from = *static_cast<Trainer *>(from_handle);
        Context &context = *into.params.context;
        const cudaStream_t stream = context.stream;
        const bool add = into_pending > 0;
        Pull pull(context, *from.params.context);
        const auto stage = context.scratch.make<Stage>();
        const auto add_up = [&](const DeviceMemory &sums, const DeviceMemory &more) {
            in_pieces(sums.bytes() / 4, sizeof(float), [&](int64_t first, int64_t count) {
                pull.copy(stage.bytes, more.as<float>() + first, count * 4);
                check(launch_put(reinterpret_cast<const float *>(stage.bytes), count, add, sums.as<float>() + first,
                                 stream),
                      "adding gradients");
            });
        };
        for (int32_t tensor = 0; tensor < kTensors; tensor++) {
            add_up(into.gradients[tensor], from.gradients[tensor]);
        }
        add_up(into.of_product, from.of_product);
        in_pieces(into.params.d_sae, 1, [&](int64_t first, int64_t count) {
            pull.copy(stage.bytes, from.fired.as<unsigned char>() + first, count);
            check(launch_put_fired(stage.bytes, count, add, into.fired.as<unsigned char>() + first, stream),
                  "adding fired latents");
        });
        pull.copy(stage.status, from.status(), sizeof(StepStatus));
        check(launch_put_totals(stage.status, add, into.status(), stream), "adding losses");
        into.last_rows = 0;
        pull.finish();
    });
}

sae_status trainer_copy(void *into_handle, void *from_handle) {
    return guarded([&] {
        Trainer &into = *static_cast<Trainer *>(into_handle);
        const Trainer &from = *static_cast<Trainer *>(from_handle);
        Pull pull(*into.params.context, *from.params.context);
        for (int32_t tensor = 0; tensor < kTensors; tensor++) {
            if (from.params.elements(tensor) > 0) {
                pull.copy(into.params.tensor(tensor), from.params.tensor(tensor), from.params.tensors[tensor].bytes());
            }
        }
        pull.copy(into.idle_batches.as<void>(), from.idle_batches.as<void>(), from.idle_batches.bytes());
        pull.copy(into.idle_rows.as<void>(), from.idle_rows.as<void>(), from.idle_rows.bytes());
        pull.copy(&into.status()->steps, &from.status()->steps, sizeof(int64_t)); // what the sparsity term warms up by
        into.steps = from.steps;
        if (from.rule == SAE_BATCH_TOPK) {
            pull.copy(&into.status()->learned_threshold, &from.status()->learned_threshold, sizeof(double));
        }
        into.params.weight_squares_stale = true;
        mark_changed(into.params);
        pull.finish();
    });
}

} // namespace sae::cuda
