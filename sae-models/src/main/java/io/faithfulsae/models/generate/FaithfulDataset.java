package io.faithfulsae.models.generate;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.faithfulsae.LanguageModel;
import io.faithfulsae.io.AtomicFile;
import io.faithfulsae.io.CheckedJson;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.OutputLock;
import io.faithfulsae.models.Decoder;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Writes a model's faithful data set as JSON lines: {@code id, seed, temp, top_p, text, tokens,
 * token_ids}, where {@code token_ids} includes the BOS and, if it was sampled, the EOS, {@code
 * tokens} is their number, and {@code text} omits both.
 *
 * <p>While the file is incomplete, its name ends in {@code .part}, and its settings are stored next
 * to it in {@code .settings.json}. The same call resumes an interrupted run; the result is byte for
 * byte that of an uninterrupted one.
 *
 * <p><b>Source</b>: FaithfulSAE (2506.17673), unconditional sampling.
 */
public final class FaithfulDataset {
  private static final JsonMapper JSON = JsonMapper.builder().build();

  private final OnnxModel model;
  private final Tokenizer tokenizer;
  private final GenerationConfig config;
  private final GenerationProgress.Listener listener;
  private long records;
  private long tokens;
  private long changed;
  private long tokensBefore;
  private long startedAt;
  private long reportedAt;

  /**
   * What was written.
   *
   * @param file the data set
   * @param records number of records
   * @param tokens number of tokens
   * @param complete whether the budget was reached; if not, the file name still ends in {@code
   *     .part}
   * @param retokenizedDifferently share of records whose text tokenizes differently when read again
   * @param tokensPerSecond of this run; 0 if there was nothing to do
   */
  public record Result(
      Path file,
      long records,
      long tokens,
      boolean complete,
      double retokenizedDifferently,
      double tokensPerSecond) {}

  private FaithfulDataset(
      OnnxModel model,
      Tokenizer tokenizer,
      GenerationConfig config,
      GenerationProgress.Listener listener) {
    this.model = model;
    this.tokenizer = tokenizer;
    this.config = config;
    this.listener = listener;
  }

  /**
   * Writes a data set, or resumes one.
   *
   * @param file must end in {@code .jsonl}, since readers go by the name
   * @throws IllegalArgumentException if maxLength exceeds the model's context length, or the file
   *     was started with other settings or another random generator
   * @throws IOException if it cannot be written or is locked by another writer; the message says
   *     which
   */
  public static Result write(
      OnnxModel model,
      Tokenizer tokenizer,
      GenerationConfig config,
      Path file,
      GenerationProgress.Listener listener)
      throws IOException {
    if (config.maxLength() > model.contextLength()) {
      throw new IllegalArgumentException(
          Expected.message(
              "maxLength <= " + model.contextLength() + ", the context length of " + model.name(),
              config.maxLength(),
              "use shorter records"));
    }
    OutputLock lock = OutputLock.ofFile(file);
    try {
      return new FaithfulDataset(model, tokenizer, config, listener).write(file);
    } finally {
      lock.close();
    }
  }

  /**
   * Samples how a model continues a prompt, with whatever interventions its decoder has. Text i
   * depends only on the seed and i, so that the same seed shows what an intervention changes. After
   * BOS alone and without interventions, it is record i of the data set with these settings.
   *
   * @param model whose decoder it is
   * @param decoder started over. Modified.
   * @param prompt begins each text, with BOS if it should have one; at least one token. Not
   *     modified.
   * @param config {@code batch} is the number of texts; its token budget is not used
   * @return the tokens of each text: the prompt and what follows, to EOS or to {@code maxLength}
   * @throws IllegalArgumentException if the prompt leaves no room to continue it, or the decoder
   *     has too few rows
   * @throws IllegalStateException if the decoder's sequences are shorter than {@code maxLength - 1}
   */
  public static List<int[]> continuations(
      LanguageModel model, Decoder decoder, int[] prompt, GenerationConfig config) {
    return Continuations.sample(model, decoder, prompt, config);
  }

  private Result write(Path file) throws IOException {
    Path part = file.resolveSibling(file.getFileName() + ".part");
    checkSettings(file);
    if (Files.exists(file)) {
      count(file);
      if (tokens >= config.tokenBudget()) {
        return result(file, true);
      }
      AtomicFile.rename(file, part);
    } else if (Files.exists(part)) {
      count(part);
    }
    tokensBefore = tokens;
    startedAt = System.nanoTime();
    reportedAt = startedAt;
    boolean complete = sampleInto(part);
    if (complete) {
      AtomicFile.rename(part, file);
    }
    return result(complete ? file : part, complete);
  }

  /** Rejects mixed settings in one file; a larger budget only extends it. */
  private void checkSettings(Path file) throws IOException {
    Path settings = file.resolveSibling(file.getFileName() + ".settings.json");
    ObjectNode mine =
        JSON.createObjectNode()
            .put("model", model.name())
            .put("max_length", config.maxLength())
            .put("temp", config.temperature())
            .put("top_p", config.topP())
            .put("seed", config.seed())
            .put("batch", config.batch())
            .put("random", RecordSampler.RANDOM);
    boolean begun =
        Files.exists(file) || Files.exists(file.resolveSibling(file.getFileName() + ".part"));
    if (begun && Files.exists(settings)) {
      JsonNode theirs =
          CheckedJson.parse(settings, "restore it, or delete it and " + file.getFileName());
      checkRandom(file, theirs.path("random").asText());
      if (!decisive(JSON.readTree(mine.toString())).equals(decisive(theirs))) {
        throw new IllegalArgumentException(
            Expected.message(
                file + " to use the settings " + mine,
                theirs + " in " + settings,
                "choose another file, or delete this one"));
      }
    } else if (begun) {
      throw new IllegalArgumentException(
          Expected.message(
              "the settings of " + file + " in " + settings, "none", "choose another file"));
    } else {
      AtomicFile.writeString(settings, mine.toPrettyString() + "\n");
    }
  }

  /**
   * Rejects records from another generator, which may not even follow the model's distribution:
   * with Well19937c(seed, id), too few first tokens were distinct.
   */
  private static void checkRandom(Path file, String random) {
    if (!random.equals(RecordSampler.RANDOM)) {
      throw new IllegalArgumentException(
          Expected.message(
              "the records of " + file + " to be drawn with " + RecordSampler.RANDOM,
              random.isEmpty() ? "no generator in its settings" : random,
              "delete the file and generate it again: records from the earlier generator are"
                  + " correlated and do not follow the model's distribution"));
    }
  }

  /** Settings without the batch: the number of records sampled in parallel does not change them. */
  private static JsonNode decisive(JsonNode settings) {
    return settings instanceof ObjectNode object ? object.deepCopy().without("batch") : settings;
  }

  /** Counts the records of an earlier run and truncates an unfinished last line. */
  private void count(Path file) throws IOException {
    long whole = 0;
    try (BufferedReader lines = Files.newBufferedReader(file)) {
      for (String line = lines.readLine(); line != null; line = lines.readLine()) {
        long end = whole + line.getBytes(StandardCharsets.UTF_8).length + 1;
        if (end > Files.size(file)) {
          break;
        }
        JsonNode record = JSON.readTree(line);
        int[] ids =
            IntStream.range(0, record.path("token_ids").size())
                .map(i -> record.path("token_ids").get(i).intValue())
                .toArray();
        tally(ids, record.path("text").asText());
        whole = end;
      }
    }
    try (RandomAccessFile access = new RandomAccessFile(file.toFile(), "rw")) {
      access.setLength(whole);
    }
  }

  /** Samples from the first missing record. */
  private boolean sampleInto(Path part) throws IOException {
    if (tokens >= config.tokenBudget()) {
      return true;
    }
    try (RecordSampler sampler = new RecordSampler(model, config);
        Writer out =
            Files.newBufferedWriter(part, StandardOpenOption.CREATE, StandardOpenOption.APPEND)) {
      return sampler.sample(
          records,
          config.tokenBudget() - tokens,
          ids -> {
            out.write(line(ids));
            out.flush();
          },
          this::report);
    }
  }

  private String line(int[] ids) {
    String text = text(ids);
    ObjectNode record =
        JSON.createObjectNode()
            .put("id", records)
            .put("seed", config.seed())
            .put("temp", config.temperature())
            .put("top_p", config.topP())
            .put("text", text)
            .put("tokens", ids.length);
    Arrays.stream(ids).forEach(record.putArray("token_ids")::add);
    tally(ids, text);
    return record + "\n";
  }

  private void tally(int[] ids, String text) {
    records++;
    tokens += ids.length;
    if (!Arrays.equals(tokenizer.encode(text), inner(ids))) {
      changed++;
    }
  }

  private String text(int[] ids) {
    return tokenizer.decode(inner(ids));
  }

  private int[] inner(int[] ids) {
    boolean ended = ids.length > 1 && ids[ids.length - 1] == model.eosToken();
    return Arrays.copyOfRange(ids, 1, ended ? ids.length - 1 : ids.length);
  }

  private boolean report(long underWay) {
    long now = System.nanoTime();
    if (now - reportedAt < 1_000_000_000L) {
      return true;
    }
    reportedAt = now;
    double rate = rate(tokens + underWay);
    long left = Math.max(0, config.tokenBudget() - tokens - underWay);
    Duration remaining = Duration.ofSeconds(rate > 0 ? Math.round(left / rate) : 0);
    return listener.onProgress(
        new GenerationProgress(records, tokens + underWay, config.tokenBudget(), rate, remaining));
  }

  private double rate(long tokensNow) {
    double seconds = (System.nanoTime() - startedAt) / 1e9;
    return startedAt == 0 || seconds <= 0 ? 0 : (tokensNow - tokensBefore) / seconds;
  }

  private Result result(Path file, boolean complete) {
    return new Result(
        file,
        records,
        tokens,
        complete,
        records == 0 ? 0 : (double) changed / records,
        rate(tokens));
  }
}
