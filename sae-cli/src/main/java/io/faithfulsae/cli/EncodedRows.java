package io.faithfulsae.cli;

import io.faithfulsae.Latents;
import io.faithfulsae.io.Safetensors.DType;
import io.faithfulsae.io.Safetensors.Tensor;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.util.ArrayList;
import java.util.List;

/**
 * The latents of many rows, batch by batch, and the tensors that they are written as: {@code
 * indices} and {@code values} {@code [rows, k]}, or of ragged rows those of all rows one after the
 * other, with {@code offsets} {@code [rows + 1]} (CSR: row r has the elements from offsets[r] to
 * offsets[r + 1]).
 */
final class EncodedRows {
  private final int k; // 0 if ragged
  private final List<Batch> batches = new ArrayList<>();
  private long rows;
  private long entries;

  /**
   * Latents of a batch.
   *
   * @param firstEntry entries of all batches before
   * @param starts of each row among the batch's entries, and their end
   */
  @SuppressWarnings("ArrayRecordComponent") // written as they are, never compared
  private record Batch(long firstEntry, int[] starts, int[] indices, float[] values) {}

  /** Starts empty, for rows like those of some latents. */
  EncodedRows(Latents like) {
    this.k = like.isRagged() ? 0 : like.k();
  }

  /** Copies the latents of a batch. */
  void add(Latents z) {
    int[] indices = new int[z.entries()];
    float[] values = new float[indices.length];
    z.indices().get(indices);
    z.values().get(values);
    batches.add(new Batch(entries, z.starts(), indices, values));
    rows += z.rows();
    entries += indices.length;
  }

  /** Latents of all rows. */
  long entries() {
    return entries;
  }

  /** What is written. */
  List<Tensor> tensors() {
    List<Tensor> tensors = new ArrayList<>();
    if (k == 0) {
      tensors.add(
          TensorBlocks.tensor("offsets", DType.I64, List.of(rows + 1), number -> offsets(number)));
    }
    List<Long> shape = k > 0 ? List.of(rows, (long) k) : List.of(entries);
    tensors.add(
        TensorBlocks.tensor("indices", DType.I32, shape, i -> bytes(batches.get(i).indices())));
    tensors.add(
        TensorBlocks.tensor("values", DType.F32, shape, i -> bytes(batches.get(i).values())));
    return tensors;
  }

  /** {@code latents} {@code [rows, dSae]}. */
  Tensor dense(int dSae) {
    return TensorBlocks.tensor(
        "latents", DType.F32, List.of(rows, (long) dSae), i -> dense(batches.get(i), dSae));
  }

  /** The first 0, then the ends of each batch's rows. */
  private ByteBuffer offsets(int block) {
    if (block == 0) {
      return TensorBlocks.allocate(2);
    }
    Batch batch = batches.get(block - 1);
    ByteBuffer bytes = TensorBlocks.allocate(2 * (batch.starts().length - 1));
    LongBuffer ends = bytes.asLongBuffer();
    for (int row = 1; row < batch.starts().length; row++) {
      ends.put(batch.firstEntry() + batch.starts()[row]);
    }
    return bytes;
  }

  private static ByteBuffer dense(Batch batch, int dSae) {
    int[] starts = batch.starts();
    int count = starts.length - 1;
    ByteBuffer bytes = TensorBlocks.allocate(Math.multiplyExact(count, dSae));
    FloatBuffer latents = bytes.asFloatBuffer();
    for (int row = 0; row < count; row++) {
      for (int i = starts[row]; i < starts[row + 1]; i++) {
        latents.put(row * dSae + batch.indices()[i], batch.values()[i]);
      }
    }
    return bytes;
  }

  private static ByteBuffer bytes(int[] values) {
    ByteBuffer bytes = TensorBlocks.allocate(values.length);
    bytes.asIntBuffer().put(values);
    return bytes;
  }

  private static ByteBuffer bytes(float[] values) {
    ByteBuffer bytes = TensorBlocks.allocate(values.length);
    bytes.asFloatBuffer().put(values);
    return bytes;
  }
}
