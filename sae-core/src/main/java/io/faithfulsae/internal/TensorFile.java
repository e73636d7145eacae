package io.faithfulsae.internal;

import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.io.Safetensors;
import java.io.Closeable;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.DoubleUnaryOperator;

/** The tensors of an open file, by name, whatever its format. */
record TensorFile(Path path, Map<String, StoredTensor> tensors, Closeable file)
    implements Closeable {

  /** Opens a safetensors file. */
  static TensorFile safetensors(Path path) throws IOException {
    Safetensors file = Safetensors.open(path);
    Map<String, StoredTensor> tensors = new LinkedHashMap<>();
    file.entries().forEach((name, entry) -> tensors.put(name, StoredTensor.of(file, entry)));
    return new TensorFile(path, tensors, file::close);
  }

  /** Opens a file of {@code torch.save}. */
  static TensorFile torch(Path path) throws IOException {
    TorchFile file = TorchFile.open(path);
    return file.tensors(file.root());
  }

  /** Opens a file of {@code numpy.savez}: a zip of {@code .npy} arrays. */
  static TensorFile npz(Path path) throws IOException {
    StoredZip zip = StoredZip.open(path, "numpy.savez", "load it and save it with numpy.savez");
    try {
      Map<String, StoredTensor> tensors = new LinkedHashMap<>();
      for (String entry : zip.names()) {
        if (entry.endsWith(".npy")) {
          String name = entry.substring(0, entry.length() - ".npy".length());
          tensors.put(name, npy(path, zip, entry, name));
        }
      }
      return new TensorFile(path, tensors, zip);
    } catch (IOException | RuntimeException e) {
      zip.close();
      throw e;
    }
  }

  private static StoredTensor npy(Path path, StoredZip zip, String entry, String name)
      throws IOException {
    long size = zip.bytes(entry);
    ByteBuffer start = ByteBuffer.allocate((int) Math.min(size, NpyHeader.MAX_BYTES));
    zip.read(entry, 0, start);
    NpyHeader header = NpyHeader.read(path, entry, start, size);
    return StoredTensor.rowMajor(
        name,
        header.shape(),
        (first, into) ->
            header
                .type()
                .read((at, chunk) -> zip.read(entry, header.dataStart() + at, chunk), first, into));
  }

  /**
   * A tensor.
   *
   * @throws SaeFormatException if there is none of this name; the message lists the existing ones
   */
  StoredTensor tensor(String name) throws SaeFormatException {
    StoredTensor tensor = tensors.get(name);
    if (tensor == null) {
      throw new SaeFormatException(
          path,
          name,
          Expected.message(
              "a tensor of this name", tensors.keySet(), "check which program wrote the file"));
    }
    return tensor;
  }

  /**
   * Checks a tensor's shape.
   *
   * @param from where the expected shape comes from, for the message
   */
  void checkShape(String name, String from, Long... shape) throws SaeFormatException {
    List<Long> actual = tensor(name).shape();
    if (!actual.equals(List.of(shape))) {
      throw new SaeFormatException(
          path,
          name,
          Expected.message(
              "shape " + List.of(shape) + " from " + from,
              actual,
              "the files do not belong together"));
    }
  }

  /**
   * The same with a tensor, if there is one of this name, under another and each element mapped.
   */
  TensorFile mapped(String name, String becomes, DoubleUnaryOperator element) {
    if (!tensors.containsKey(name)) {
      return this;
    }
    Map<String, StoredTensor> all = new LinkedHashMap<>(tensors);
    StoredTensor tensor = Objects.requireNonNull(all.remove(name));
    all.put(becomes, tensor.mapped(becomes, element));
    return new TensorFile(path, all, file);
  }

  /** The same with one more tensor. */
  TensorFile with(StoredTensor tensor) {
    Map<String, StoredTensor> all = new LinkedHashMap<>(tensors);
    all.put(tensor.name(), tensor);
    return new TensorFile(path, all, file);
  }

  @Override
  public void close() throws IOException {
    file.close();
  }
}
