package io.faithfulsae.training;

import io.faithfulsae.ActivationSource;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.OutputLock;
import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.TreeMap;

/** Finds the checkpoint from which runs can resume, and restores it. */
final class Resumption {
  private static final System.Logger LOG = System.getLogger(Resumption.class.getName());

  private Resumption() {}

  static List<TrainingRun> resume(
      List<SaeTrainer> trainers, ActivationSource source, List<Path> dirs) throws IOException {
    for (Path dir : dirs) {
      requireFolder(dir);
    }
    List<OutputLock> locks = OutputLock.ofFolders(dirs);
    try {
      return resume(trainers, source, dirs, locks);
    } catch (IOException | RuntimeException e) {
      locks.forEach(OutputLock::close);
      throw e;
    }
  }

  private static List<TrainingRun> resume(
      List<SaeTrainer> trainers, ActivationSource source, List<Path> dirs, List<OutputLock> locks)
      throws IOException {
    Map<Integer, TrainingRun> runs = new LinkedHashMap<>();
    List<Integer> pending = new ArrayList<>();
    for (int i = 0; i < dirs.size(); i++) {
      if (isComplete(dirs.get(i))) {
        runs.put(i, TrainingRun.completed(Provenance.read(dirs.get(i), trainers.get(i), source)));
      } else {
        pending.add(i);
      }
    }
    if (pending.isEmpty()) {
      locks.forEach(OutputLock::close);
    } else {
      List<TrainingRun> resumed =
          resumePending(
              pending.stream().map(trainers::get).toList(),
              source,
              pending.stream().map(dirs::get).toList(),
              locks);
      for (int i = 0; i < pending.size(); i++) {
        runs.put(pending.get(i), resumed.get(i));
      }
    }
    return List.copyOf(new TreeMap<>(runs).values());
  }

  private static void requireFolder(Path dir) throws IOException {
    if (!Files.isDirectory(dir)) {
      throw new IOException(
          Expected.message(
              "the folder of a run", dir + ", which is not a folder", "start a run there"));
    }
  }

  private static boolean isComplete(Path dir) throws IOException {
    return Checkpoint.list(dir).isEmpty() && Files.exists(Provenance.file(dir));
  }

  private static List<TrainingRun> resumePending(
      List<SaeTrainer> trainers, ActivationSource source, List<Path> dirs, List<OutputLock> locks)
      throws IOException {
    List<NavigableMap<Long, Checkpoint>> readable = new ArrayList<>();
    for (Path dir : dirs) {
      readable.add(readable(dir));
    }
    NavigableMap<Long, Checkpoint> common = new TreeMap<>(readable.get(0));
    readable.forEach(one -> common.keySet().retainAll(one.keySet()));
    if (common.isEmpty()) {
      throw new IOException(
          Expected.message(
              "checkpoints of one step in all of " + dirs, "none", "resume each run separately"));
    }
    long step = common.lastKey();
    List<TrainingMember> members = new ArrayList<>();
    try {
      for (int i = 0; i < dirs.size(); i++) {
        SaeTrainer settings = trainers.get(i);
        Path file = Checkpoint.file(dirs.get(i), step);
        Checkpoint checkpoint = readable.get(i).get(step);
        if (checkpoint == null) {
          throw new AssertionError("step " + step + " is common to all");
        }
        checkpoint.checkSame(file, settings.sae(), settings.training(), source.description());
        String backend = settings.backend().info().name();
        if (!backend.equals(checkpoint.backend())) {
          LOG.log(
              System.Logger.Level.WARNING,
              "{0} was written on {1}; on {2} the run continues with different rounding",
              file,
              checkpoint.backend(),
              backend);
        }
        TrainingMember member = new TrainingMember(settings, dirs.get(i));
        members.add(member);
        member.restore(checkpoint, file);
      }
      return TrainingLoop.start(members, source, step, common.lastEntry().getValue().mark(), locks);
    } catch (IOException | RuntimeException e) {
      members.forEach(TrainingMember::close);
      throw e;
    }
  }

  /** Readable checkpoints, by step; damaged ones are skipped if there is another. */
  private static NavigableMap<Long, Checkpoint> readable(Path dir) throws IOException {
    NavigableMap<Long, Checkpoint> found = new TreeMap<>();
    SaeFormatException damage = null;
    for (Path file : Checkpoint.list(dir)) {
      try {
        found.put(Checkpoint.stepOf(file), Checkpoint.read(file));
      } catch (SaeFormatException e) {
        LOG.log(System.Logger.Level.WARNING, "skipping a damaged checkpoint: {0}", e.getMessage());
        damage = e;
      }
    }
    if (found.isEmpty()) {
      if (damage != null) {
        throw damage;
      }
      throw new IOException(Expected.message("a checkpoint in " + dir, "none", "start a new run"));
    }
    return found;
  }
}
