/* params.cu: parameters and buffers: allocation, and transfers between them and the host. */
#include <cstring>
#include <memory>

#include "device/memory_plan.h"
#include "encode/shadow_copies.h"
#include "operations.h"

namespace sae::cuda {

sae_status buffer_create(void *handle, int64_t bytes, int32_t place, void **buffer) {
    return guarded([&] {
        Context &context = *static_cast<Context *>(handle);
        context.activate();
        auto made = std::make_unique<Buffer>();
        made->context = &context;
        made->bytes = bytes;
        made->place = place;
        const auto size = static_cast<size_t>(bytes);
        if (place == SAE_HOST) {
            check(cudaHostAlloc(&made->address, size, cudaHostAllocDefault), "allocating pinned host memory");
            std::memset(made->address, 0, size);
        } else {
            check(cudaMalloc(&made->address, size), "allocating device memory");
            const cudaError_t error = cudaMemsetAsync(made->address, 0, size, context.stream);
            if (error != cudaSuccess) {
                cudaFree(made->address);
                check(error, "clearing device memory");
            }
        }
        *buffer = made.release();
    });
}

sae_status buffer_wrap(void *handle, int64_t address, int64_t bytes, int32_t place, void **buffer) {
    return guarded([&] {
        Context &context = *static_cast<Context *>(handle);
        context.activate();
        void *memory = reinterpret_cast<void *>(address);
        cudaPointerAttributes attributes{};
        check(cudaPointerGetAttributes(&attributes, memory), "querying where memory is");
        const bool of_device = attributes.type == cudaMemoryTypeDevice || attributes.type == cudaMemoryTypeManaged;
        if (place == SAE_DEVICE) {
            require(of_device, "memory of the device (cudaMalloc)", "memory of the host");
            require(attributes.device == context.device, "memory of the context's device",
                    "memory of device " + std::to_string(attributes.device));
        } else {
            require(attributes.type != cudaMemoryTypeDevice, "memory of the host", "memory of a device");
        }
        auto made = std::make_unique<Buffer>();
        made->context = &context;
        made->address = memory;
        made->bytes = bytes;
        made->place = place;
        made->owned = false;
        *buffer = made.release();
    });
}

int64_t buffer_address(void *buffer) { return reinterpret_cast<int64_t>(static_cast<Buffer *>(buffer)->address); }

sae_status buffer_write(void *handle, int64_t offset, const void *source, int64_t bytes) {
    return guarded([&] {
        Buffer &buffer = *static_cast<Buffer *>(handle);
        buffer.context->activate();
        unsigned char *target = static_cast<unsigned char *>(buffer.address) + offset;
        if (buffer.place == SAE_HOST) {
            buffer.context->synchronize(); // operations before this one may still read it
            if (buffer.context->copies != nullptr) {
                check(cudaStreamSynchronize(buffer.context->copies), "waiting for an upload");
            }
            buffer.uploaded = 0;
            std::memcpy(target, source, static_cast<size_t>(bytes));
            return;
        }
        check(
            cudaMemcpyAsync(target, source, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, buffer.context->stream),
            "writing a buffer");
        buffer.context->synchronize();
    });
}

sae_status buffer_read(void *handle, int64_t offset, void *target, int64_t bytes) {
    return guarded([&] {
        const Buffer &buffer = *static_cast<Buffer *>(handle);
        buffer.context->activate();
        const unsigned char *source = static_cast<const unsigned char *>(buffer.address) + offset;
        if (buffer.place == SAE_HOST) {
            buffer.context->synchronize();
            std::memcpy(target, source, static_cast<size_t>(bytes));
            return;
        }
        check(
            cudaMemcpyAsync(target, source, static_cast<size_t>(bytes), cudaMemcpyDeviceToHost, buffer.context->stream),
            "reading a buffer");
        buffer.context->synchronize();
    });
}

sae_status buffer_upload(void *handle, int64_t bytes) {
    return guarded([&] {
        Buffer &buffer = *static_cast<Buffer *>(handle);
        Context &context = *buffer.context;
        if (buffer.place != SAE_HOST) {
            return;
        }
        context.activate();
        buffer.uploaded = 0;
        if (bytes == 0) {
            return;
        }
        if (context.copies == nullptr) {
            check(cudaStreamCreateWithFlags(&context.copies, cudaStreamNonBlocking), "creating a stream");
        }
        if (buffer.copy.bytes() < bytes) {
            require_memory(buffer.bytes, buffer.copy.bytes(), "the device's copy of a buffer", "a smaller batch");
            buffer.copy = DeviceMemory(); // frees the old one, after waiting for its readers
            buffer.copy = DeviceMemory(buffer.bytes);
        }
        buffer.mark_read();
        buffer.was_read.wait_on(context.copies);
        check(cudaMemcpyAsync(buffer.copy.as<void>(), buffer.address, static_cast<size_t>(bytes),
                              cudaMemcpyHostToDevice, context.copies),
              "uploading a buffer");
        buffer.arrived.record(context.copies);
        buffer.uploaded = bytes;
    });
}

namespace {

/* Waits for the operations that may still use a buffer. */
void finish(const Buffer &buffer) {
    cudaSetDevice(buffer.context->device);
    cudaStreamSynchronize(buffer.context->stream);
    if (buffer.context->copies != nullptr) {
        cudaStreamSynchronize(buffer.context->copies);
    }
}

struct Detached { // a buffer's memory after detaching
    void *address;
    int32_t place;
    bool owned;
    int device;
};

void release(const Detached &memory) {
    if (memory.owned && memory.place == SAE_HOST) {
        cudaFreeHost(memory.address);
    } else if (memory.owned) {
        cudaFree(memory.address);
    }
}

Detached memory_of(const Buffer &buffer) {
    return {buffer.address, buffer.place, buffer.owned, buffer.context->device};
}

} // namespace

void buffer_close(void *handle) {
    const std::unique_ptr<Buffer> buffer(static_cast<Buffer *>(handle));
    finish(*buffer);
    release(memory_of(*buffer));
}

sae_status buffer_detach(void *handle, void **memory) {
    return guarded([&] {
        Buffer *const buffer = static_cast<Buffer *>(handle);
        auto left = std::make_unique<Detached>(memory_of(*buffer));
        finish(*buffer);
        delete buffer;
        *memory = left.release();
    });
}

void memory_close(void *handle) {
    const std::unique_ptr<Detached> memory(static_cast<Detached *>(handle));
    cudaSetDevice(memory->device); // the device's primary context outlives the sae context that allocated the memory
    release(*memory);
}

sae_status params_create(void *handle, int64_t d_in, int64_t d_out, int64_t d_sae, int32_t flags, void **params,
                         int64_t *live_bytes) {
    return guarded([&] {
        Context &context = *static_cast<Context *>(handle);
        context.activate();
        auto made = std::make_unique<Params>();
        made->context = &context;
        made->d_in = d_in;
        made->d_out = d_out;
        made->d_sae = d_sae;
        made->flags = flags;
        made->subtract_b_dec = (flags & SAE_SUBTRACT_B_DEC) != 0;
        int64_t bytes = 0;
        for (int32_t tensor = SAE_W_ENC; tensor <= SAE_W_SKIP; tensor++) {
            bytes += made->elements(tensor) * static_cast<int64_t>(sizeof(float));
        }
        const memory::Shape shape{d_in, d_out, d_sae, made->elements(SAE_W_SKIP)};
        const int64_t copies = shadow_bytes(*made) + rounded_decoder_bytes(*made);
        const char *less = context.precision == Precision::kBf16 ? "precision=fp32 with encode=dense" : "encode=dense";
        require_memory(bytes + copies, 0,
                       "the parameters of an SAE with d_in " + std::to_string(d_in) + " and d_sae " +
                           std::to_string(d_sae) + " (a trainer takes " +
                           std::to_string(memory::trainer_bytes(shape, 4, false)) + " more, " +
                           std::to_string(memory::trainer_bytes(shape, 2, false)) + " with moments=bf16)",
                       "a smaller d_sae, a device with more memory, or " + std::string(less) + ", which saves " +
                           std::to_string(copies) + " bytes");
        for (int32_t tensor = SAE_W_ENC; tensor <= SAE_W_SKIP; tensor++) {
            if (made->elements(tensor) > 0) {
                made->tensors[tensor] =
                    zeroed(made->elements(tensor) * static_cast<int64_t>(sizeof(float)), context.stream);
            }
        }
        made->weight_squares = zeroed(2 * static_cast<int64_t>(sizeof(double)), context.stream);
        make_shadow(*made);
        *live_bytes =
            bytes + made->shadow.rounded.bytes() + made->shadow.bounds.bytes() + made->rounded_decoder.rows.bytes();
        *params = made.release();
    });
}

sae_status params_write(void *handle, int32_t tensor, int64_t first, const float *source, int64_t count) {
    return guarded([&] {
        const Params &params = *static_cast<Params *>(handle);
        params.context->activate();
        params.weight_squares_stale = true;
        check(cudaMemcpyAsync(params.tensor(tensor) + first, source, static_cast<size_t>(count) * sizeof(float),
                              cudaMemcpyHostToDevice, params.context->stream),
              "writing parameters");
        params.context->synchronize();
        mark_changed(params);
    });
}

sae_status params_read(void *handle, int32_t tensor, int64_t first, float *target, int64_t count) {
    return guarded([&] {
        const Params &params = *static_cast<Params *>(handle);
        params.context->activate();
        check(cudaMemcpyAsync(target, params.tensor(tensor) + first, static_cast<size_t>(count) * sizeof(float),
                              cudaMemcpyDeviceToHost, params.context->stream),
              "reading parameters");
        params.context->synchronize();
    });
}

void params_close(void *handle) {
    const std::unique_ptr<Params> params(static_cast<Params *>(handle));
    cudaSetDevice(params->context->device);
    cudaStreamSynchronize(params->context->stream);
}

} // namespace sae::cuda
