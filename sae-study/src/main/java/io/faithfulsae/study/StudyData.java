package io.faithfulsae.study;

import io.faithfulsae.TokenSource;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.models.generate.FaithfulDataset;
import io.faithfulsae.models.generate.GenerationConfig;
import io.faithfulsae.models.tokens.TokenSources;
import io.faithfulsae.study.StudyConfig.DataSet;
import io.faithfulsae.study.StudyConfig.Generate;
import io.faithfulsae.study.provenance.Json;
import io.faithfulsae.study.report.Format;
import io.faithfulsae.study.work.Generation;
import io.faithfulsae.study.work.WorkListener;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** Creates a study's data sets: files of text or token ids, with statistics. */
final class StudyData {
  private static final int SAMPLE_TOKENS = 160;

  private static final String TOKENS = "tokens.int32";

  private final StudyConfig config;
  private final OnnxModel model;
  private final Tokenizer tokenizer;
  private final int context;

  /**
   * A data set in a step's folder.
   *
   * @param file the text's name there
   * @param origin source of the text
   * @param sequences number of sequences of the study's context length
   * @param heldOut how many of them, at the end, are excluded from training
   * @param tokens number of tokens
   * @param distinctTokens number of distinct tokens
   * @param hash SHA-256 of the sequences
   * @param random name of the random generator that drew the tokens; null if the model did not
   *     generate them
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
      @Nullable String random,
      List<String> samples) {

    Prepared drawnBy(String generator) {
      return new Prepared(
          file, origin, sequences, heldOut, tokens, distinctTokens, hash, generator, samples);
    }
  }

  /** Prepares one model's data sets. */
  StudyData(StudyConfig config, OnnxModel model, Tokenizer tokenizer, int context) {
    this.config = config;
    this.model = model;
    this.tokenizer = tokenizer;
    this.context = context;
  }

  /**
   * Everything that determines a data set's content besides the model.
   *
   * @param known identifies its text
   */
  Object inputs(DataSet set, Object known) {
    return List.of(
        Json.tree(set), context, config.evaluation().heldOutShare(), config.samples(), known);
  }

  /** Identifies a text: by its hash, or by its files' hash and how they are read. */
  String known(StudyText text) throws IOException {
    return text.isReadInPlace() ? inPlace(text).description() : text.hash();
  }

  /** A data set's given text, possibly from another model. */
  StudyText given(DataSet set, @Nullable Path sampled) {
    Boolean lower = set.lowerCase();
    return new StudyText(set, sampled, lower == null ? config.model() == null : lower);
  }

  /** Tokenizes a given text into sequences. */
  Prepared prepare(StudyText text, Path folder) throws IOException {
    if (text.isReadInPlace()) {
      return survey(text.set(), Path.of(String.valueOf(text.set().file())), inPlace(text), folder);
    }
    return prepare(text.set(), text.write(folder), folder);
  }

  /** Tokenizes a text in one of our own files into sequences. */
  Prepared prepare(DataSet set, Path file, Path folder) throws IOException {
    return survey(set, file, TokenSources.ofFile(file, tokenizer, context), folder);
  }

  /**
   * Mixes sequences of other data sets. Training and held-out parts are mixed separately, so that
   * no mixture trains on another data set's held-out text.
   */
  Prepared mix(DataSet set, List<Texts> parts, Path folder) throws IOException {
    List<Double> shares =
        parts.stream().map(part -> Objects.requireNonNull(set.mixture()).get(part.name())).toList();
    List<Long> held = parts.stream().map(part -> part.prepared().heldOut()).toList();
    List<Long> trained =
        parts.stream()
            .map(part -> part.prepared().sequences() - part.prepared().heldOut())
            .toList();
    Long limit = set.tokens();
    double heldOut = config.evaluation().heldOutShare();
    long mostHeld = limit == null ? least(held, shares) : Math.round(limit / context * heldOut);
    long mostTrained =
        limit == null ? least(trained, shares) : Math.round(limit / context * (1 - heldOut));
    long train = Math.min(mostTrained, MixedTokens.most(trained, shares));
    long last = Math.min(Math.max(1, mostHeld), MixedTokens.most(held, shares));
    String description = origin(set);
    List<TokenSource> both =
        List.of(
            new MixedTokens(
                description, parts.stream().map(Texts::training).toList(), shares, train),
            new MixedTokens(
                description, parts.stream().map(Texts::heldOut).toList(), shares, last));
    try (Stream<int[]> first = both.get(0).open(0);
        Stream<int[]> second = both.get(1).open(0)) {
      TokenFile.write(folder.resolve(TOKENS), Stream.concat(first, second).iterator());
    }
    return survey(set, Path.of(set.name()), last, folder);
  }

  /** The smallest size among the parts in use. */
  private static long least(List<Long> sizes, List<Double> shares) {
    long least = Long.MAX_VALUE;
    for (int i = 0; i < sizes.size(); i++) {
      least = shares.get(i) > 0 ? Math.min(least, sizes.get(i)) : least;
    }
    return least;
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
    Map<String, Double> mixture = set.mixture();
    if (mixture != null) {
      return mixture.entrySet().stream()
          .map(part -> Format.percent(part.getValue()) + " " + part.getKey())
          .collect(Collectors.joining(", ", "mixture: ", ""));
    }
    return "embedded".equals(set.file())
        ? "opening of Shakespeare's plays (public domain)"
        : String.valueOf(Path.of(String.valueOf(set.file())).getFileName());
  }

  /** The whole data set, training part first. */
  TokenSource open(Prepared prepared, Path folder) {
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

  /** Samples a text into a folder. */
  FaithfulDataset.Result sample(String name, Generate settings, Path folder, WorkListener listener)
      throws IOException {
    int longest = Math.min(settings.maxLength(), model.contextLength());
    GenerationConfig generation =
        new GenerationConfig(
            settings.tokens(),
            longest,
            settings.temperature(),
            settings.topP(),
            settings.seed(),
            64);
    return Generation.run(
        name, model, tokenizer, generation, folder.resolve(StudyText.JSON_LINES), listener);
  }

  private Prepared survey(DataSet set, Path file, TokenSource text, Path folder)
      throws IOException {
    Path tokenFile = folder.resolve(TOKENS);
    Long limit = set.tokens();
    long most = limit == null ? Long.MAX_VALUE : Math.max(2, limit / context);
    try (Stream<int[]> all = text.open(0)) {
      TokenFile.write(tokenFile, all.limit(most).iterator());
    }
    return survey(set, file, -1, folder);
  }

  /**
   * Statistics of stored token sequences.
   *
   * @param last number of held-out sequences; −1 for the usual share
   */
  private Prepared survey(DataSet set, Path file, long last, Path folder) throws IOException {
    Path tokenFile = folder.resolve(TOKENS);
    MessageDigest digest = Json.sha256();
    BitSet distinct = new BitSet();
    List<String> samples = new ArrayList<>();
    long sequences = 0;
    long tokens = 0;
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
    long heldOut =
        last >= 0 ? last : Math.max(1, Math.round(sequences * config.evaluation().heldOutShare()));
    if (sequences - heldOut < 1) {
      throw new SaeFormatException(
          file,
          "text",
          Expected.message(
              "sequences for training and for evaluation",
              "%d of %d tokens".formatted(sequences, context),
              "use more text"));
    }
    return new Prepared(
        String.valueOf(file.getFileName()),
        origin(set),
        sequences,
        heldOut,
        tokens,
        distinct.cardinality(),
        HexFormat.of().formatHex(digest.digest()),
        null,
        samples);
  }

  private String sample(int[] ids) {
    return tokenizer
        .decode(java.util.Arrays.copyOf(ids, Math.min(ids.length, SAMPLE_TOKENS)))
        .strip();
  }
}
