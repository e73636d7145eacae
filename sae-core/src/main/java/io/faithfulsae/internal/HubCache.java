package io.faithfulsae.internal;

import io.faithfulsae.io.Expected;
import io.faithfulsae.io.RegularFile;
import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The Hugging Face hub's cache: {@code models--ORG--NAME/snapshots/REVISION/…}, whose files link to
 * {@code blobs}; {@code refs/main} has the revision that was downloaded last.
 */
final class HubCache {
  private static final String SNAPSHOTS = "snapshots";

  private HubCache() {}

  /**
   * The place in a snapshot that a path means. The snapshot may be left out of it: {@code
   * models--ORG--NAME/layers.10} is that folder in the latest one. Other paths stay as they are.
   *
   * @throws SaeFormatException if there are several snapshots, and none is the main one
   */
  static Path resolve(Path path) throws IOException {
    Path whole = path.toAbsolutePath().normalize();
    Path repository = repository(whole);
    if (repository == null) {
      return path;
    }
    Path inside = repository.relativize(whole);
    if (inside.toString().isEmpty() || inside.toString().equals(SNAPSHOTS)) {
      return snapshot(repository);
    }
    return inside.startsWith(SNAPSHOTS) ? path : snapshot(repository).resolve(inside);
  }

  /** Whether a path lies in the cache. */
  static boolean contains(Path path) {
    return repository(path.toAbsolutePath().normalize()) != null;
  }

  private static @Nullable Path repository(Path path) {
    for (Path at = path; at != null && at.getFileName() != null; at = at.getParent()) {
      if (at.getFileName().toString().startsWith("models--")
          && Files.isDirectory(at.resolve(SNAPSHOTS))) {
        return at;
      }
    }
    return null;
  }

  private static Path snapshot(Path repository) throws IOException {
    Path snapshots = repository.resolve(SNAPSHOTS);
    String main = main(repository.resolve("refs").resolve("main"));
    if (main.matches("[0-9a-f]{6,64}") && Files.isDirectory(snapshots.resolve(main))) {
      return snapshots.resolve(main);
    }
    List<Path> all;
    try (Stream<Path> entries = Files.list(snapshots)) {
      all = entries.filter(Files::isDirectory).sorted().toList();
    }
    if (all.size() == 1) {
      return all.get(0);
    }
    throw new SaeFormatException(
        repository,
        SNAPSHOTS,
        Expected.message(
            "one snapshot, or the name of one in refs/main",
            all.stream().map(Path::getFileName).toList(),
            all.isEmpty() ? "download it again" : "add the path of one of them"));
  }

  private static String main(Path reference) throws IOException {
    try {
      return Files.size(reference) > 100 ? "" : RegularFile.readString(reference).strip();
    } catch (NoSuchFileException e) {
      return "";
    }
  }
}
