package io.faithfulsae.models.spi;

import io.faithfulsae.io.Expected;
import io.faithfulsae.io.FiniteScan;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.io.Safetensors;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;

/**
 * The locations of a checkpoint's tensors: one {@code model.safetensors}, or shards listed in
 * {@code model.safetensors.index.json}.
 *
 * <p>Reads headers only. Links are resolved, since a download cache stores the files elsewhere
 * under other names.
 */
public final class Weights {
  private static final String SINGLE = "model.safetensors";
  private static final String INDEX = "model.safetensors.index.json";

  private final Path source;
  private final Path root;
  private final Map<String, Stored> tensors;

  private final Map<Path, Long> sizes = new HashMap<>();

  /** Names of the tensors that have been checked and hold neither NaN nor infinity. */
  private final Set<String> finite = ConcurrentHashMap.newKeySet();

  private Weights(Path source, Path root, Map<String, Stored> tensors) {
    this.source = source;
    this.root = root;
    this.tensors = tensors;
    for (Stored stored : tensors.values()) {
      long end = stored.entry().offset() + stored.entry().bytes();
      sizes.merge(stored.file(), end, Math::max);
    }
  }

  /**
   * A tensor's location.
   *
   * @param file with links resolved
   * @param entry type, shape and offset
   */
  public record Stored(Path file, Safetensors.Entry entry) {}

  /**
   * Reads the headers of a model folder's safetensors files.
   *
   * @throws NoSuchFileException if the folder has neither, or a shard is missing
   * @throws SaeFormatException if a file is truncated or damaged, or lacks a tensor listed in the
   *     index, or the index names a file outside the folder
   */
  public static Weights open(Path folder) throws IOException {
    if (Files.exists(folder.resolve(SINGLE))) {
      Map<String, Stored> tensors = new LinkedHashMap<>();
      Path file = folder.resolve(SINGLE);
      header(file).forEach((name, stored) -> tensors.put(name, stored));
      return new Weights(file, commonFolder(List.of(file.toRealPath())), tensors);
    }
    Path index = folder.resolve(INDEX);
    if (!Files.exists(index)) {
      throw new NoSuchFileException(
          folder.resolve(SINGLE).toString(),
          null,
          "nor is there " + INDEX + "; choose a folder with safetensors");
    }
    return shards(folder, index);
  }

  private static Weights shards(Path folder, Path index) throws IOException {
    Map<String, List<String>> namesByShard = new LinkedHashMap<>();
    for (Map.Entry<String, com.fasterxml.jackson.databind.JsonNode> entry :
        ModelConfig.read(index).json("weight_map").properties()) {
      namesByShard
          .computeIfAbsent(entry.getValue().asText(), k -> new ArrayList<>())
          .add(entry.getKey());
    }
    Map<String, Stored> tensors = new LinkedHashMap<>();
    List<Path> files = new ArrayList<>();
    for (Map.Entry<String, List<String>> shard : namesByShard.entrySet()) {
      Path file = shardFile(folder, index, shard.getKey(), shard.getValue().get(0));
      if (!Files.exists(file)) {
        throw new NoSuchFileException(
            file.toString(),
            null,
            INDEX
                + " names it for "
                + shard.getValue().get(0)
                + (shard.getValue().size() > 1 ? " and others" : "")
                + "; fetch this shard");
      }
      Map<String, Stored> inFile = header(file);
      files.add(file.toRealPath());
      for (String name : shard.getValue()) {
        Stored stored = inFile.get(name);
        if (stored == null) {
          throw new SaeFormatException(
              file,
              name,
              Expected.message(
                  "this tensor, as " + INDEX + " says", "none", "fetch the shard again"));
        }
        tensors.put(name, stored);
      }
    }
    if (files.isEmpty()) {
      throw new SaeFormatException(
          index, "weight_map", Expected.message("tensors", "none", "fetch it again"));
    }
    return new Weights(index, commonFolder(files), tensors);
  }

  /** An index comes with a download, so it must not name files elsewhere on the disk. */
  private static Path shardFile(Path folder, Path index, String shard, String tensor)
      throws SaeFormatException {
    try {
      Path file = folder.resolve(shard).normalize();
      if (!shard.isEmpty() && !Path.of(shard).isAbsolute() && inside(folder.normalize(), file)) {
        return file;
      }
    } catch (InvalidPathException e) {
      // reported below
    }
    throw new SaeFormatException(
        index,
        "weight_map." + tensor,
        Expected.message("a file in the same folder", '"' + shard + '"', "fetch the index again"));
  }

  private static boolean inside(Path folder, Path file) {
    // The empty path is the working directory: everything relative is in it, unless it goes up.
    return folder.toString().isEmpty() ? !file.startsWith("..") : file.startsWith(folder);
  }

  private static Map<String, Stored> header(Path file) throws IOException {
    Map<String, Stored> tensors = new LinkedHashMap<>();
    try (Safetensors opened = Safetensors.open(file)) {
      Path real = file.toRealPath();
      opened.entries().forEach((name, entry) -> tensors.put(name, new Stored(real, entry)));
    }
    return tensors;
  }

  private static Path commonFolder(Collection<Path> files) {
    Path first = files.iterator().next();
    int names = first.getNameCount() - 1;
    for (Path file : files) {
      while (names > 0 && !file.startsWith(first.getRoot().resolve(first.subpath(0, names)))) {
        names--;
      }
    }
    return names == 0 ? first.getRoot() : first.getRoot().resolve(first.subpath(0, names));
  }

  /**
   * Requires that no file has become shorter. The files are mapped into memory, where reading past
   * the end of a file ends the process.
   *
   * @throws SaeFormatException if one is too short for its tensors; one that was deleted or
   *     replaced is still there for whoever has mapped it
   */
  public void requireWhole() throws IOException {
    for (Map.Entry<Path, Long> file : sizes.entrySet()) {
      try {
        long size = Files.size(file.getKey());
        if (size < file.getValue()) {
          throw new SaeFormatException(
              file.getKey(),
              "size",
              Expected.message(
                  "at least " + file.getValue() + " bytes, as when the model was opened",
                  size,
                  "leave a model's files as they are while it is open, or open it without mapping"
                      + " them"));
        }
      } catch (NoSuchFileException e) {
        // deleted: whoever has mapped it keeps it
      }
    }
  }

  /** The common root folder of all files. */
  public Path root() {
    return root;
  }

  /** Whether all tensors are stored as float32. */
  public boolean allFloat32() {
    return tensors.values().stream()
        .allMatch(tensor -> tensor.entry().dtype() == Safetensors.DType.F32);
  }

  /** Whether there is a tensor of this name. */
  public boolean has(String name) {
    return tensors.containsKey(name);
  }

  /**
   * A validated tensor.
   *
   * <p>On first access, all of it is read: a single NaN weight makes all activations NaN.
   *
   * @throws SaeFormatException if it is missing, has the wrong shape, is not F32, F16 or BF16, or
   *     holds NaN or infinity
   */
  public Stored get(String name, long... shape) throws SaeFormatException {
    Stored stored = tensors.get(name);
    List<Long> expected = java.util.Arrays.stream(shape).boxed().toList();
    if (stored == null) {
      throw new SaeFormatException(
          source,
          name,
          Expected.message(
              "a tensor of shape " + expected,
              "none of this name among "
                  + tensors.size()
                  + " such as "
                  + new TreeSet<>(tensors.keySet()).stream().limit(3).toList(),
              "use a checkpoint of the family that config.json names"));
    }
    if (!stored.entry().shape().equals(expected)) {
      throw new SaeFormatException(
          stored.file(),
          name,
          Expected.message(
              "shape " + expected,
              stored.entry().shape(),
              "use the weights that belong to this config.json"));
    }
    switch (stored.entry().dtype()) {
      case F32, F16, BF16 -> {
        requireFinite(name, stored);
        return stored;
      }
      default ->
          throw new SaeFormatException(
              stored.file(),
              name,
              Expected.message(
                  "dtype F32, F16 or BF16", stored.entry().dtype(), "convert the checkpoint"));
    }
  }

  private void requireFinite(String name, Stored stored) throws SaeFormatException {
    if (finite.contains(name)) {
      return;
    }
    long at;
    try {
      at = FiniteScan.firstOther(stored.file(), stored.entry());
    } catch (IOException e) {
      throw new SaeFormatException(
          stored.file(), name, Expected.message("readable weights", e, "check the disk"));
    }
    if (at >= 0) {
      throw new SaeFormatException(
          stored.file(),
          name,
          Expected.message(
              "finite weights",
              "NaN or infinity in element "
                  + at
                  + " of "
                  + stored.entry().shape()
                  + " (from 0, row-major)",
              "fetch the file again"));
    }
    finite.add(name);
  }
}
