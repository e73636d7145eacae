package io.faithfulsae.internal;

import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.io.Safetensors;
import java.io.Closeable;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

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

  @Override
  public void close() throws IOException {
    file.close();
  }
}
