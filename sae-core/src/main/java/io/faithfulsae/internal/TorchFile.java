package io.faithfulsae.internal;

import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import java.io.Closeable;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A file that {@code torch.save} wrote of a dict of tensors. Nothing in it is executed, and values
 * are read from the file as they are asked for. <b>Closed by</b> whoever opened it.
 */
final class TorchFile implements Closeable {
  private static final int MAX_DIMENSIONS = 8;

  private final Path file;
  private final TorchZip zip;
  private final Map<?, ?> root;

  private TorchFile(Path file, TorchZip zip, Map<?, ?> root) {
    this.file = file;
    this.zip = zip;
    this.root = root;
  }

  /** A storage in the zip. */
  private record Storage(TorchType type, String key, long elements) {}

  /**
   * Opens a file; all tensors are checked to lie inside their storages.
   *
   * @throws SaeFormatException if it is no zip of torch.save, or contains anything but tensors
   */
  static TorchFile open(Path file) throws IOException {
    TorchZip zip = TorchZip.open(file);
    try {
      Object root = TensorPickle.read(file, zip.pickle(), new Tensors(file, zip));
      if (root instanceof Map<?, ?> map) {
        return new TorchFile(file, zip, map);
      }
      throw error(
          file,
          "pickle",
          "a dict of tensors",
          root.getClass().getSimpleName(),
          "save a state dict");
    } catch (IOException | RuntimeException e) {
      zip.close();
      throw e;
    }
  }

  /** The dict: values as {@link TensorPickle} makes them. */
  Map<?, ?> root() {
    return root;
  }

  /** The tensors of a dict in this file, which closing them closes. */
  TensorFile tensors(Map<?, ?> dict) {
    Map<String, StoredTensor> named = new LinkedHashMap<>();
    dict.forEach(
        (key, value) -> {
          if (value instanceof StoredTensor t) {
            String name = String.valueOf(key);
            named.put(
                name, new StoredTensor(name, t.shape(), t.strides(), t.offset(), t.storage()));
          }
        });
    return new TensorFile(file, named, this);
  }

  @Override
  public void close() throws IOException {
    zip.close();
  }

  private record Tensors(Path file, TorchZip zip) implements TensorPickle.Storages {
    @Override
    public Object storage(List<?> id) throws SaeFormatException {
      if (id.size() < 5
          || !"storage".equals(id.get(0))
          || !(id.get(1) instanceof TorchType type)
          || !(id.get(2) instanceof String key)
          || !(id.get(4) instanceof Long elements)) {
        throw malformed("a storage with type, key and size", "another reference");
      }
      long bytes = zip.storageBytes(key);
      if (elements < 0 || bytes / type.bytes() != elements || bytes % type.bytes() != 0) {
        throw malformed(
            elements + " elements of " + type + " in storage " + PickleText.quoted(key),
            bytes + " bytes");
      }
      return new Storage(type, key, elements);
    }

    @Override
    public StoredTensor tensor(List<?> arguments) throws SaeFormatException {
      if (arguments.size() < 4
          || !(arguments.get(0) instanceof Storage storage)
          || !(arguments.get(1) instanceof Long offset)
          || !(arguments.get(2) instanceof List<?> sizes)
          || !(arguments.get(3) instanceof List<?> steps)) {
        throw malformed("a tensor with storage, offset, shape and strides", "other arguments");
      }
      List<Long> shape = numbers(sizes);
      List<Long> strides = numbers(steps);
      if (shape.size() != strides.size() || shape.size() > MAX_DIMENSIONS) {
        throw malformed(
            "as many strides as dimensions, at most " + MAX_DIMENSIONS,
            strides.size() + " and " + shape.size());
      }
      try {
        long count = 1;
        long last = offset;
        for (int i = 0; i < shape.size(); i++) {
          count = Math.multiplyExact(count, shape.get(i));
          last =
              Math.addExact(
                  last, Math.multiplyExact(Math.max(0, shape.get(i) - 1), strides.get(i)));
        }
        // a view may repeat elements, but then a few bytes could claim any shape
        if (offset < 0 || count > storage.elements() || (count > 0 && last >= storage.elements())) {
          throw malformed(
              "a tensor inside its storage of " + storage.elements() + " elements",
              "offset " + offset + ", shape " + shape + ", strides " + strides);
        }
      } catch (ArithmeticException e) {
        throw malformed("a shape of fewer than 2^63 elements", shape + ", strides " + strides);
      }
      return new StoredTensor(
          "tensor", shape, strides, offset, (first, into) -> read(storage, first, into));
    }

    private void read(Storage storage, long first, FloatBuffer into) throws IOException {
      storage.type().read((at, chunk) -> zip.read(storage.key(), at, chunk), first, into);
    }

    private List<Long> numbers(List<?> values) throws SaeFormatException {
      List<Long> result = new ArrayList<>();
      for (Object value : values) {
        if (!(value instanceof Long number) || number < 0) {
          throw malformed("sizes and strides of 0 or more", "another value");
        }
        result.add(number);
        if (result.size() > MAX_DIMENSIONS) {
          throw malformed("at most " + MAX_DIMENSIONS + " dimensions", "more");
        }
      }
      return List.copyOf(result);
    }

    private SaeFormatException malformed(String expected, String got) {
      return error(file, "pickle", expected, got, "fetch the file again");
    }
  }

  private static SaeFormatException error(
      Path file, String field, String expected, String got, String remedy) {
    return new SaeFormatException(file, field, Expected.message(expected, got, remedy));
  }
}
