package io.faithfulsae.io;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.io.Safetensors.DType;
import io.faithfulsae.io.Safetensors.Entry;
import java.io.CharConversionException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The header of a safetensors file, checked against the file's size. */
record SafetensorsHeader(Map<String, Entry> entries, Map<String, String> metadata) {
  /** The limit set by the format. */
  static final long MAX_BYTES = 100_000_000;

  private static final JsonMapper JSON =
      JsonMapper.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();

  static SafetensorsHeader read(Path file, FileChannel channel) throws IOException {
    long size = channel.size();
    if (size < 8) {
      throw new SaeFormatException(
          file,
          "header",
          Expected.message("at least 8 bytes", size, "the file is truncated, fetch it again"));
    }
    long length = readFully(channel, 0, 8).getLong();
    if (length < 2 || length > MAX_BYTES) {
      throw new SaeFormatException(
          file,
          "header",
          Expected.message(
              "a length in [2, " + MAX_BYTES + "]", length, "this is not a safetensors file"));
    }
    if (8 + length > size) {
      throw new SaeFormatException(
          file,
          "header",
          Expected.message((8 + length) + " bytes", size, "the file is truncated, fetch it again"));
    }
    byte[] bytes = readFully(channel, 8, (int) length).array();
    JsonNode json;
    try {
      json = JSON.readTree(bytes);
    } catch (JsonProcessingException e) {
      throw new SaeFormatException(
          file, "header", Expected.message("JSON", e.getOriginalMessage(), "the file is damaged"));
    } catch (CharConversionException e) { // bytes that look like UTF-16 or UTF-32
      throw new SaeFormatException(
          file, "header", Expected.message("JSON", e.getMessage(), "the file is damaged"));
    }
    if (!json.isObject()) {
      throw new SaeFormatException(
          file,
          "header",
          Expected.message("a JSON object", json.getNodeType(), "the file is damaged"));
    }
    return parse(file, json, 8 + length, size);
  }

  private static SafetensorsHeader parse(Path file, JsonNode json, long dataStart, long fileSize)
      throws IOException {
    Map<String, Entry> entries = new LinkedHashMap<>();
    Map<String, String> metadata = new LinkedHashMap<>();
    for (Map.Entry<String, JsonNode> field : json.properties()) {
      if (field.getKey().equals("__metadata__")) {
        field.getValue().properties().forEach(e -> metadata.put(e.getKey(), e.getValue().asText()));
      } else {
        entries.put(
            field.getKey(),
            parseEntry(file, field.getKey(), field.getValue(), dataStart, fileSize));
      }
    }
    checkLayout(file, entries, dataStart, fileSize);
    return new SafetensorsHeader(
        Collections.unmodifiableMap(entries), Collections.unmodifiableMap(metadata));
  }

  private static Entry parseEntry(
      Path file, String name, JsonNode json, long dataStart, long fileSize) throws IOException {
    DType dtype;
    try {
      dtype = DType.valueOf(json.path("dtype").asText());
    } catch (IllegalArgumentException e) {
      throw new SaeFormatException(
          file,
          name,
          Expected.message(
              "one of the dtypes " + List.of(DType.values()),
              json.path("dtype"),
              "convert the tensor"));
    }
    JsonNode offsets = json.path("data_offsets");
    if (offsets.size() != 2 || !json.path("shape").isArray()) {
      throw new SaeFormatException(
          file, name, Expected.message("shape and two data_offsets", json, "the file is damaged"));
    }
    List<Long> shape = new ArrayList<>();
    long begin = integer(offsets.get(0));
    long end = integer(offsets.get(1));
    long bytes = dtype.bytes();
    try {
      for (JsonNode dimension : json.path("shape")) {
        long size = integer(dimension);
        if (size < 0) {
          throw new ArithmeticException("negative");
        }
        shape.add(size);
        bytes = Math.multiplyExact(bytes, size);
      }
    } catch (ArithmeticException e) {
      throw new SaeFormatException(
          file,
          name,
          Expected.message("a shape that fits 63 bits", json.path("shape"), "the file is damaged"));
    }
    if (begin < 0 || end < begin || end - begin != bytes) {
      throw new SaeFormatException(
          file,
          name,
          Expected.message(
              bytes + " bytes for " + dtype + shape,
              "data_offsets " + offsets,
              "the file is damaged"));
    }
    if (end > fileSize - dataStart) {
      throw new SaeFormatException(
          file,
          name,
          Expected.message(
              bytes + " bytes from offset " + (dataStart + begin),
              Math.max(0, fileSize - dataStart - begin),
              "the file is truncated, fetch it again"));
    }
    return new Entry(name, dtype, List.copyOf(shape), dataStart + begin, bytes);
  }

  /** An integer literal that fits in 63 bits; -1 for anything else. */
  private static long integer(JsonNode number) {
    return number.isIntegralNumber() && number.canConvertToLong() ? number.longValue() : -1;
  }

  /**
   * The format requires tensors to be stored back to back up to the end of the file; an overlap or
   * a gap means that header and data do not belong together.
   */
  private static void checkLayout(
      Path file, Map<String, Entry> entries, long dataStart, long fileSize) throws IOException {
    List<Entry> sorted = new ArrayList<>(entries.values());
    sorted.sort(Comparator.comparingLong(Entry::offset).thenComparingLong(Entry::bytes));
    long expected = dataStart;
    for (Entry entry : sorted) {
      if (entry.offset() != expected) {
        throw new SaeFormatException(
            file,
            entry.name(),
            Expected.message(
                "its data at offset " + expected,
                entry.offset()
                    + (entry.offset() < expected ? " (it overlaps another tensor)" : " (a hole)"),
                "the file is damaged"));
      }
      expected += entry.bytes();
    }
    if (expected != fileSize) {
      throw new SaeFormatException(
          file,
          "data",
          Expected.message(
              expected + " bytes for the tensors of the header",
              fileSize,
              "the file is damaged, fetch it again"));
    }
  }

  private static ByteBuffer readFully(FileChannel channel, long position, int bytes)
      throws IOException {
    ByteBuffer buffer = ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
    while (buffer.hasRemaining()) {
      if (channel.read(buffer, position + buffer.position()) < 0) {
        throw new IOException("the file shrank while it was being read");
      }
    }
    return buffer.flip();
  }
}
