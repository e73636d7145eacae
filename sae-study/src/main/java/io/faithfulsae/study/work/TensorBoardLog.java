package io.faithfulsae.study.work;

import com.google.protobuf.CodedOutputStream;
import io.faithfulsae.training.TrainingProgress;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.zip.CRC32C;

/**
 * Steps of a training run as an event file of TensorBoard: records of TensorFlow ({@code
 * tensorflow/core/lib/io/record_writer.h}), each an {@code Event} message ({@code
 * tensorflow/core/util/event.proto}), of which five fields are needed.
 */
final class TensorBoardLog implements TrainingLog {
  private static final int WALL_TIME = 1; // fields of Event
  private static final int STEP = 2;
  private static final int FILE_VERSION = 3;
  private static final int SUMMARY = 5;
  private static final int SESSION_LOG = 7;
  private static final int CRC_MASK = 0xa282ead8;

  private final AppendedFile file;
  private boolean begun;

  private TensorBoardLog(AppendedFile file) {
    this.file = file;
  }

  static TensorBoardLog create(Path dir) throws IOException {
    Files.createDirectories(dir);
    Instant now = Instant.now();
    String name =
        "events.out.tfevents.%010d.%06d.%d.faithfulsae"
            .formatted(now.getEpochSecond(), now.getNano() / 1000, ProcessHandle.current().pid());
    AppendedFile file =
        AppendedFile.open(
            dir.resolve(name), StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
    file.write(record(event(now, 0, FILE_VERSION, out -> out.writeStringNoTag("brain.Event:2"))));
    return new TensorBoardLog(file);
  }

  @Override
  public void accept(TrainingProgress now) {
    Instant time = Instant.now();
    if (!begun) {
      begun = true;
      file.write(record(start(time, now.step())));
    }
    Map<String, Double> scalars = new LinkedHashMap<>();
    scalars.put("train/loss", now.loss());
    scalars.put("train/fvu", now.fvu());
    scalars.put("train/l0", now.l0());
    scalars.put("train/dead", (double) now.dead());
    scalars.put("train/tokens_per_second", now.tokensPerSecond());
    file.write(record(scalars(time, now.step(), scalars)));
  }

  @Override
  public void close() throws IOException {
    file.close();
  }

  /** Says that a run starts at a step: TensorBoard forgets later steps of earlier files. */
  static byte[] start(Instant time, long step) {
    byte[] started = message(out -> out.writeEnum(1, 1));
    return event(time, step, SESSION_LOG, out -> out.writeByteArrayNoTag(started));
  }

  static byte[] scalars(Instant time, long step, Map<String, Double> values) {
    byte[] summary =
        message(
            out -> {
              for (Map.Entry<String, Double> entry : values.entrySet()) {
                out.writeByteArray(
                    1,
                    message(
                        value -> {
                          value.writeString(1, entry.getKey());
                          value.writeFloat(2, entry.getValue().floatValue());
                        }));
              }
            });
    return event(time, step, SUMMARY, out -> out.writeByteArrayNoTag(summary));
  }

  static byte[] event(Instant time, long step, int field, Part content) {
    return message(
        out -> {
          out.writeDouble(WALL_TIME, time.getEpochSecond() + time.getNano() / 1e9);
          if (step != 0) { // as protobuf writes a default
            out.writeInt64(STEP, step);
          }
          out.writeTag(field, 2);
          content.writeTo(out);
        });
  }

  /** A record: its length, the length's checksum, the message, the message's checksum. */
  static byte[] record(byte[] message) {
    ByteBuffer record =
        ByteBuffer.allocate(Long.BYTES + 2 * Integer.BYTES + message.length)
            .order(ByteOrder.LITTLE_ENDIAN)
            .putLong(message.length);
    return record
        .putInt(maskedChecksum(record.array(), Long.BYTES))
        .put(message)
        .putInt(maskedChecksum(message, message.length))
        .array();
  }

  private static int maskedChecksum(byte[] bytes, int length) {
    CRC32C crc = new CRC32C();
    crc.update(bytes, 0, length);
    return Integer.rotateRight((int) crc.getValue(), 15) + CRC_MASK;
  }

  /** Fields of a message. */
  interface Part {
    void writeTo(CodedOutputStream out) throws IOException;
  }

  private static byte[] message(Part part) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    CodedOutputStream out = CodedOutputStream.newInstance(bytes);
    try {
      part.writeTo(out);
      out.flush();
    } catch (IOException e) {
      throw new UncheckedIOException(e); // memory does not fail
    }
    return bytes.toByteArray();
  }
}
