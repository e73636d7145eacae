package io.faithfulsae.cli;

import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Safetensors.DType;
import io.faithfulsae.io.Safetensors.Data;
import io.faithfulsae.io.Safetensors.Tensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/** Writes a tensor that is computed block by block, so that it is never in memory as a whole. */
final class TensorBlocks implements Data {
  private final Block source;
  private ByteBuffer block = ByteBuffer.allocate(0);
  private int next;

  /** Computes the bytes of one block, little-endian. */
  interface Block {
    ByteBuffer get(int number) throws IOException;
  }

  private TensorBlocks(Block source) {
    this.source = source;
  }

  static Tensor tensor(String name, DType dtype, List<Long> shape, Block source) {
    return new Tensor(name, dtype, shape, new TensorBlocks(source));
  }

  static ByteBuffer allocate(int elements) {
    return DirectBuffers.bytes((long) elements * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
  }

  @Override
  public void fill(long first, ByteBuffer chunk) throws IOException {
    ByteBuffer into = chunk.duplicate();
    while (into.hasRemaining()) {
      if (!block.hasRemaining()) {
        block = source.get(next++);
      }
      int count = Math.min(block.remaining(), into.remaining());
      into.put(block.slice(block.position(), count));
      block.position(block.position() + count);
    }
  }
}
