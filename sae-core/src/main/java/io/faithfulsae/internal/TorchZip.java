package io.faithfulsae.internal;

import static io.faithfulsae.internal.StoredZip.FETCH;

import io.faithfulsae.io.SaeFormatException;
import java.io.Closeable;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * The zip that {@code torch.save} writes: {@code NAME/data.pkl} and one entry {@code NAME/data/KEY}
 * for each storage. PyTorch compresses none of them.
 */
final class TorchZip implements Closeable {
  /** An SAE's takes a few kilobytes, with an optimizer's state perhaps fifty. */
  private static final int MAX_PICKLE = 1 << 20;

  private static final String PICKLE = "/data.pkl";

  private final Path file;
  private final StoredZip zip;
  private final String folder;

  private TorchZip(Path file, StoredZip zip, String folder) {
    this.file = file;
    this.zip = zip;
    this.folder = folder;
  }

  /**
   * Opens a file and checks its entries' sizes.
   *
   * @throws SaeFormatException if it is not such a zip, compressed, or of a big-endian machine
   */
  static TorchZip open(Path file) throws IOException {
    requireZip(file);
    StoredZip zip = StoredZip.open(file, "torch.save", "load it with torch.load and save it again");
    try {
      TorchZip result = new TorchZip(file, zip, folder(file, zip));
      result.requireLittleEndian();
      return result;
    } catch (IOException | RuntimeException e) {
      zip.close();
      throw e;
    }
  }

  /** The bytes of the pickle. */
  ByteBuffer pickle() throws IOException {
    return whole("data.pkl", MAX_PICKLE);
  }

  /**
   * Bytes of a storage.
   *
   * @throws SaeFormatException if there is no such storage
   */
  long storageBytes(String key) throws SaeFormatException {
    return zip.bytes(folder + "/data/" + key);
  }

  /** Fills {@code into} with bytes of a storage; the caller knows that they exist. */
  void read(String key, long first, ByteBuffer into) throws IOException {
    zip.read(folder + "/data/" + key, first, into);
  }

  @Override
  public void close() throws IOException {
    zip.close();
  }

  private ByteBuffer whole(String name, int limit) throws IOException {
    long size = zip.bytes(folder + "/" + name);
    if (size > limit) {
      throw StoredZip.error(file, name + " of at most " + limit + " bytes", size + " bytes", FETCH);
    }
    ByteBuffer bytes = ByteBuffer.allocate((int) size);
    zip.read(folder + "/" + name, 0, bytes);
    return bytes;
  }

  private void requireLittleEndian() throws IOException {
    if (zip.has(folder + "/byteorder")) {
      String order = StandardCharsets.ISO_8859_1.decode(whole("byteorder", 16)).toString().strip();
      if (!order.equals("little")) {
        throw StoredZip.error(
            file,
            "byteorder little",
            PickleText.quoted(order),
            "save it again on a little-endian machine");
      }
    }
  }

  /** Before 1.6, PyTorch wrote pickles one after the other. */
  private static void requireZip(Path file) throws IOException {
    byte[] start;
    try (InputStream in = Files.newInputStream(file)) {
      start = in.readNBytes(4);
    }
    if (start.length < 4 || start[0] != 'P' || start[1] != 'K') {
      boolean pickle = start.length > 1 && start[0] == (byte) 0x80;
      throw StoredZip.error(
          file,
          "a zip as torch.save writes it since PyTorch 1.6",
          pickle ? "a bare pickle" : "another file",
          pickle ? "load it with torch.load and save it again" : FETCH);
    }
  }

  private static String folder(Path file, StoredZip zip) throws IOException {
    List<String> pickles =
        zip.names().stream()
            .filter(name -> name.endsWith(PICKLE) && name.indexOf('/') == name.lastIndexOf('/'))
            .toList();
    if (pickles.size() != 1) {
      throw StoredZip.error(
          file,
          "one entry NAME/data.pkl, as torch.save writes it",
          pickles.size(),
          "save a state dict with torch.save");
    }
    return pickles.get(0).substring(0, pickles.get(0).length() - PICKLE.length());
  }
}
