package io.faithfulsae.cli;

import io.faithfulsae.Latents;
import io.faithfulsae.io.Safetensors.DType;
import io.faithfulsae.io.Safetensors.Tensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * The latents of many rows, batch by batch, and the tensors that they are written as: {@code
 * indices} and {@code values} {@code [rows, k]}, or of ragged rows those of all rows one after the
 * other, with {@code offsets} {@code [rows + 1]} (CSR: row r has the elements from offsets[r] to
 * offsets[r + 1]). They wait in a file, so that memory holds one batch.
 */
final class EncodedRows implements AutoCloseable {
  private final int k; // 0 if ragged
  private final Spool spool;
  private final List<Batch> batches = new ArrayList<>();
  private long rows;
  private long entries;

  /**
   * Where a batch is in the spool: each row's start among the batch's entries, then their end, all
   * indices, all values.
   *
   * @param at position in the spool
   * @param firstEntry entries of all batches before
   */
  private record Batch(long at, long firstEntry, int rows, int entries) {}

  /**
   * Starts empty, for rows like those of some latents.
   *
   * @param beside a file in a folder with room for as much as the latents take
   */
  EncodedRows(Latents like, Path beside) throws IOException {
    this.k = like.isRagged() ? 0 : like.k();
    this.spool = Spool.beside(beside);
  }

  /** Takes the latents of a batch. */
  void add(Latents z) throws IOException {
    int[] starts = z.starts();
    Batch batch = new Batch(spool.size(), entries, starts.length - 1, z.entries());
    ByteBuffer bytes = TensorBlocks.allocate(starts.length + 2 * batch.entries());
    IntBuffer ints = bytes.asIntBuffer();
    ints.put(starts).put(z.indices().slice(0, batch.entries()));
    FloatBuffer values =
        bytes
            .slice(ints.position() * 4, batch.entries() * 4)
            .order(ByteOrder.LITTLE_ENDIAN)
            .asFloatBuffer();
    values.put(z.values().slice(0, batch.entries()));
    spool.append(bytes);
    batches.add(batch);
    rows += batch.rows();
    entries += batch.entries();
  }

  /** Latents of all rows. */
  long entries() {
    return entries;
  }

  /** What is written. Readable until close. */
  List<Tensor> tensors() {
    List<Tensor> tensors = new ArrayList<>();
    if (k == 0) {
      tensors.add(TensorBlocks.tensor("offsets", DType.I64, List.of(rows + 1), this::offsets));
    }
    List<Long> shape = k > 0 ? List.of(rows, (long) k) : List.of(entries);
    tensors.add(TensorBlocks.tensor("indices", DType.I32, shape, i -> indices(batches.get(i))));
    tensors.add(TensorBlocks.tensor("values", DType.F32, shape, i -> values(batches.get(i))));
    return tensors;
  }

  /** {@code latents} {@code [rows, dSae]}. */
  Tensor dense(int dSae) {
    return TensorBlocks.tensor(
        "latents", DType.F32, List.of(rows, (long) dSae), i -> dense(batches.get(i), dSae));
  }

  private ByteBuffer starts(Batch batch) throws IOException {
    return spool.read(batch.at(), batch.rows() + 1);
  }

  private ByteBuffer indices(Batch batch) throws IOException {
    return spool.read(batch.at() + 4L * (batch.rows() + 1), batch.entries());
  }

  private ByteBuffer values(Batch batch) throws IOException {
    return spool.read(batch.at() + 4L * (batch.rows() + 1) + 4L * batch.entries(), batch.entries());
  }

  /** The first 0, then the ends of each batch's rows. */
  private ByteBuffer offsets(int block) throws IOException {
    if (block == 0) {
      return TensorBlocks.allocate(2);
    }
    Batch batch = batches.get(block - 1);
    IntBuffer starts = starts(batch).asIntBuffer();
    ByteBuffer bytes = TensorBlocks.allocate(2 * batch.rows());
    LongBuffer ends = bytes.asLongBuffer();
    for (int row = 1; row <= batch.rows(); row++) {
      ends.put(batch.firstEntry() + starts.get(row));
    }
    return bytes;
  }

  private ByteBuffer dense(Batch batch, int dSae) throws IOException {
    IntBuffer starts = starts(batch).asIntBuffer();
    IntBuffer indices = indices(batch).asIntBuffer();
    FloatBuffer values = values(batch).asFloatBuffer();
    ByteBuffer bytes = TensorBlocks.allocate(Math.multiplyExact(batch.rows(), dSae));
    FloatBuffer latents = bytes.asFloatBuffer();
    for (int row = 0; row < batch.rows(); row++) {
      for (int i = starts.get(row); i < starts.get(row + 1); i++) {
        latents.put(row * dSae + indices.get(i), values.get(i));
      }
    }
    return bytes;
  }

  @Override
  public void close() throws IOException {
    spool.close();
  }
}
