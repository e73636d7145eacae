package io.faithfulsae.study;

import io.faithfulsae.HookPoint;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.study.provenance.ModelHash;
import java.io.IOException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * The language models of a study, of which at most one is open: several large ones may not fit in
 * memory together. The open one stays open until another is needed, so a study of one model opens
 * it once for its plan and all its steps; a study of several opens each for the plan, and again for
 * its steps.
 *
 * <p>Entries with the same model and the same hook share an open model. Those with another hook do
 * not, since a model keeps a graph in memory for every hook that it was asked for.
 */
final class OpenModels implements AutoCloseable {
  private final StudyFile file;
  private final Sharing sharing;
  private final Path study;
  private @Nullable Opened opened;
  private int openings;

  private record Key(Path folder, String hook) {}

  private record Opened(
      Key key, OnnxModel model, Tokenizer tokenizer, String hash, HookPoint hook) {}

  /**
   * Opens none yet.
   *
   * @param study folder of the whole study
   */
  OpenModels(StudyFile file, Path study) {
    this.file = file;
    this.sharing = new Sharing(file.models());
    this.study = study;
  }

  /** The study's settings. */
  StudyFile file() {
    return file;
  }

  /** What entries do once for all of them. */
  Sharing sharing() {
    return sharing;
  }

  /** Folder of the whole study. */
  Path study() {
    return study;
  }

  /** How often a model was opened. */
  int openings() {
    return openings;
  }

  /**
   * An entry with its model, which is open until another entry's is needed.
   *
   * @throws IOException if the model cannot be opened
   */
  StudyContext entry(String name, Backend backend, StepFolders folders) throws IOException {
    StudyConfig config = sharing.config(name);
    String given = config.model();
    Path folder =
        given == null ? EmbeddedModel.unpack(study.resolve(name).resolve("model")) : Path.of(given);
    Key key = new Key(Sharing.folder(config), config.hook());
    Opened now = opened;
    if (now == null || !now.key().equals(key)) {
      close();
      now = open(key, folder);
      opened = now;
      openings++;
    }
    return new StudyContext(
        name,
        config,
        sharing,
        study,
        backend,
        now.model(),
        now.tokenizer(),
        now.hash(),
        now.hook(),
        folders);
  }

  private static Opened open(Key key, Path folder) throws IOException {
    OnnxModel model = OnnxModel.open(folder);
    try {
      HookPoint hook =
          key.hook().equals("middle")
              ? HookPoint.residPre(model.layers() / 2)
              : HookPoint.parse(key.hook());
      return new Opened(key, model, Tokenizer.open(folder), ModelHash.of(folder), hook);
    } catch (IOException | RuntimeException e) {
      model.close();
      throw e;
    }
  }

  @Override
  public void close() {
    Opened last = opened;
    opened = null;
    if (last != null) {
      last.tokenizer().close();
      last.model().close();
    }
  }
}
