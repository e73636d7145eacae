package io.faithfulsae.study;

import io.faithfulsae.SaeFormatException;
import io.faithfulsae.TokenSource;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.models.generate.GenerationConfig;
import io.faithfulsae.models.tokens.TokenSources;
import io.faithfulsae.study.StudyConfig.DataSet;
import io.faithfulsae.study.StudyConfig.Generate;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.List;
import java.util.stream.Stream;

/** Makes a study's data sets: files of text or token ids, and what can be said of them. */
final class StudyData {
  private static final int SAMPLE_TOKENS = 160;

  private static final String TOKENS = "tokens.int32";

  private final StudyConfig config;
  private final Path study;
  private final OnnxModel model;
  private final Tokenizer tokenizer;
  private final int context;

  /**
   * A data set that lies in a step's folder.
   *
   * @param file the text's name there
   * @param origin where the text comes from
   * @param sequences of the study's context length
   * @param heldOut how many of them, at the end, are kept from training
   * @param tokens in them
   * @param distinctTokens in them
   * @param hash SHA-256 of the sequences
   * @param samples texts
   */
  record Prepared(
      String file,
      String origin,
      long sequences,
      long heldOut,
      long tokens,
      int distinctTokens,
      String hash,
      List<String> samples) {}

  /**
   * Prepares one model's data sets.
   *
   * @param study folder of the whole study, where other models' texts are
   */
  StudyData(StudyConfig config, Path study, OnnxModel model, Tokenizer tokenizer, int context) {
    this.config = config;
    this.study = study;
    this.model = model;
    this.tokenizer = tokenizer;
    this.context = context;
  }

  /** All that decides a data set's content besides the model. */
  Object inputs(DataSet set) throws IOException {
    return List.of(
        Json.tree(set),
        context,
        config.evaluation().heldOutShare(),
        config.samples(),
        set.generate() == null ? known(given(set)) : "");
  }

  /** By what a text is known: by the hash of its text, or by its files' hash and how it is read. */
  private String known(StudyText text) throws IOException {
    return text.isReadInPlace() ? inPlace(text).description() : text.hash();
  }

  Prepared prepare(DataSet set, Path folder) throws IOException {
    Generate generate = set.generate();
    StudyText text = given(set);
    if (generate == null && text.isReadInPlace()) {
      return survey(set, Path.of(String.valueOf(set.file())), inPlace(text), folder);
    }
    Path file = generate == null ? text.write(folder) : generate(set.name(), generate, folder);
    return survey(set, file, TokenSources.ofFile(file, tokenizer, context), folder);
  }

  private StudyText given(DataSet set) {
    Boolean lower = set.lowerCase();
    return new StudyText(set, study, lower == null ? config.model() == null : lower);
  }

  private TokenSource inPlace(StudyText text) throws IOException {
    Path file = Path.of(String.valueOf(text.set().file()));
    return TokenSources.ofFile(file, text.options(), tokenizer, context);
  }

  private static String origin(DataSet set) {
    Generate generate = set.generate();
    if (generate != null) {
      return "sampled from BOS, temperature %s, top-p %s, seed %d"
          .formatted(generate.temperature(), generate.topP(), generate.seed());
    }
    if (set.from() != null) {
      return "written by another model: " + set.from();
    }
    return "embedded".equals(set.file())
        ? "opening of Shakespeare's plays (public domain)"
        : String.valueOf(Path.of(String.valueOf(set.file())).getFileName());
  }

  /** The whole data set, training part first. */
  private TokenSource open(Prepared prepared, Path folder) {
    String description =
        "%s (tokens sha256 %s), sequences of %d tokens"
            .formatted(prepared.file(), prepared.hash(), context);
    return new TokenFile(folder.resolve(TOKENS), context, description);
  }

  TokenSource training(Prepared prepared, Path folder) {
    return new TokenSlice(open(prepared, folder), 0, prepared.sequences() - prepared.heldOut());
  }

  TokenSource heldOut(Prepared prepared, Path folder) {
    return new TokenSlice(
        open(prepared, folder), prepared.sequences() - prepared.heldOut(), prepared.heldOut());
  }

  private Path generate(String name, Generate settings, Path folder) throws IOException {
    int longest = Math.min(settings.maxLength(), model.contextLength());
    GenerationConfig generation =
        new GenerationConfig(
            settings.tokens(),
            longest,
            settings.temperature(),
            settings.topP(),
            settings.seed(),
            64);
    return Generation.run(name, model, tokenizer, generation, folder.resolve(StudyText.JSON_LINES))
        .file();
  }

  private Prepared survey(DataSet set, Path file, TokenSource text, Path folder)
      throws IOException {
    Path tokenFile = folder.resolve(TOKENS);
    Long limit = set.tokens();
    long most = limit == null ? Long.MAX_VALUE : Math.max(2, limit / context);
    MessageDigest digest = Json.sha256();
    BitSet distinct = new BitSet();
    List<String> samples = new ArrayList<>();
    long sequences = 0;
    long tokens = 0;
    try (Stream<int[]> all = text.open(0)) {
      TokenFile.write(tokenFile, all.limit(most).iterator());
    }
    try (Stream<int[]> all = new TokenFile(tokenFile, context, "").open(0)) {
      for (Iterator<int[]> each = all.iterator(); each.hasNext(); sequences++) {
        int[] ids = each.next();
        tokens += ids.length;
        ByteBuffer bytes = ByteBuffer.allocate(ids.length * Integer.BYTES);
        for (int id : ids) {
          distinct.set(id);
          bytes.putInt(id);
        }
        digest.update(bytes.array());
        if (samples.size() < config.samples()) {
          samples.add(sample(ids));
        }
      }
    }
    long heldOut = Math.max(1, Math.round(sequences * config.evaluation().heldOutShare()));
    if (sequences - heldOut < 1) {
      throw new SaeFormatException(
          file,
          "text",
          "expected sequences for training and for evaluation, got %d of %d tokens; mend: give more text"
              .formatted(sequences, context));
    }
    return new Prepared(
        String.valueOf(file.getFileName()),
        origin(set),
        sequences,
        heldOut,
        tokens,
        distinct.cardinality(),
        HexFormat.of().formatHex(digest.digest()),
        samples);
  }

  private String sample(int[] ids) {
    return tokenizer
        .decode(java.util.Arrays.copyOf(ids, Math.min(ids.length, SAMPLE_TOKENS)))
        .strip();
  }
}
