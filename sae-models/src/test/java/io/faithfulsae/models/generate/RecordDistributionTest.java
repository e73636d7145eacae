package io.faithfulsae.models.generate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.models.GoldenModels;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.SharedMemory;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Checks that records are samples of the model's own distribution, computed here by forward passes
 * over whole sequences. If a backend's memory is shared, sampling runs there.
 */
@Tag("slow")
class RecordDistributionTest {
  /** BOS and EOS are the same token; many tokens are rare. */
  private static final String WIDE = "gpt2-tied";

  /** Small enough for millions of tokens; BOS and EOS are different tokens. */
  private static final String SMALL = "gpt2-untied-bf16";

  private static final double LEAST = 1e-4;

  private @org.jspecify.annotations.Nullable Backend backend;
  private OnnxModel model;
  private int vocabulary;

  private void open(String name) throws IOException {
    if (SharedMemory.inUse()) {
      backend = SharedMemory.backend();
      model = OnnxModel.open(GoldenModels.folder(name), SharedMemory.options(), backend);
    } else {
      model = OnnxModel.open(GoldenModels.folder(name), new OnnxModel.Options(1));
    }
    vocabulary = model.vocabularySize();
  }

  @AfterEach
  void close() {
    model.close();
    if (backend != null) {
      backend.close();
    }
  }

  /** The first records, each with its BOS. */
  private List<int[]> sample(
      int records, int maxLength, double temperature, double topP, long seed, int batch)
      throws IOException {
    List<int[]> sampled = new ArrayList<>(records);
    GenerationConfig config =
        new GenerationConfig(Long.MAX_VALUE, maxLength, temperature, topP, seed, batch);
    try (RecordSampler sampler = new RecordSampler(model, config)) {
      sampler.sample(
          0,
          Long.MAX_VALUE,
          tokens -> {
            if (sampled.size() < records) {
              sampled.add(tokens);
            }
          },
          underWay -> sampled.size() < records);
    }
    return sampled;
  }

  /**
   * Distributions of the tokens after sequences of one length, at the sampler's temperature and
   * top-p.
   */
  private double[][] after(int[][] sequences, double temperature, double topP) {
    int length = sequences[0].length;
    FloatBuffer logits = FloatBuffer.allocate(sequences.length * length * vocabulary);
    model.logits(sequences, logits);
    double[][] distributions = new double[sequences.length][vocabulary];
    for (int s = 0; s < sequences.length; s++) {
      int from = (s * length + length - 1) * vocabulary;
      double[] p = distributions[s];
      double largest = Double.NEGATIVE_INFINITY;
      for (int i = 0; i < vocabulary; i++) {
        largest = Math.max(largest, logits.get(from + i));
      }
      for (int i = 0; i < vocabulary; i++) {
        p[i] = Math.exp((logits.get(from + i) - largest) / temperature);
      }
      scale(p, 1 / Arrays.stream(p).sum());
      if (topP < 1) {
        keepTop(p, topP);
      }
    }
    return distributions;
  }

  private static void keepTop(double[] p, double topP) {
    double mass = 0;
    for (int token :
        IntStream.range(0, p.length)
            .boxed()
            .sorted((a, b) -> Double.compare(p[b], p[a]))
            .mapToInt(Integer::intValue)
            .toArray()) {
      double before = mass;
      mass += before < topP ? p[token] : 0;
      p[token] = before < topP ? p[token] : 0;
    }
    scale(p, 1 / mass);
  }

  private static void scale(double[] p, double factor) {
    Arrays.setAll(p, i -> p[i] * factor);
  }

  private void assertFirstAndSecondTokensFit(List<int[]> records, double temperature, double topP) {
    int bos = model.bosToken();
    double[] first = after(new int[][] {{bos}}, temperature, topP)[0];
    int[] seen = new int[vocabulary];
    records.forEach(record -> seen[record[1]]++);
    assertFits("first", Fit.pValue(seen, first));
    // Given the previous tokens, without the records that have ended.
    int[][] begun =
        IntStream.range(0, vocabulary).mapToObj(t -> new int[] {bos, t}).toArray(int[][]::new);
    double[][] then = after(begun, temperature, topP);
    double[] second = new double[vocabulary];
    double goOn = 1 - first[model.eosToken()];
    for (int t = 0; t < vocabulary; t++) {
      for (int u = 0; u < vocabulary && t != model.eosToken(); u++) {
        second[u] += first[t] / goOn * then[t][u];
      }
    }
    int[] seenThen = new int[vocabulary];
    records.stream().filter(r -> r.length > 2).forEach(record -> seenThen[record[2]]++);
    assertFits("second", Fit.pValue(seenThen, second));
    for (int n : new int[] {100, 1000, 10_000, records.size()}) {
      int distinct = (int) records.stream().limit(n).mapToInt(r -> r[1]).distinct().count();
      double z = Fit.distinctDeviation(distinct, first, n);
      assertTrue(Math.abs(z) < 4.5, distinct + " first tokens in " + n + " records: z = " + z);
    }
  }

  private static void assertFits(String token, double pValue) {
    assertTrue(pValue > LEAST, token + " tokens: p = " + pValue);
  }

  @Test
  void firstSecondAndTenthTokensFollowTheModel() throws IOException {
    int count = 200_000;
    open(SMALL);
    List<int[]> records = sample(count, 11, 1, 1, 42, 500);
    assertFirstAndSecondTokensFit(records, 1, 1);
    // The tenth token, given the previous ones: each record has its own distribution.
    double[] difference = new double[vocabulary];
    double[][] covariance = new double[vocabulary][vocabulary];
    List<int[]> reached = records.stream().filter(record -> record.length == 11).toList();
    for (int from = 0; from < reached.size(); from += 1000) {
      List<int[]> some = reached.subList(from, Math.min(from + 1000, reached.size()));
      double[][] p =
          after(some.stream().map(r -> Arrays.copyOf(r, 10)).toArray(int[][]::new), 1, 1);
      for (int r = 0; r < some.size(); r++) {
        int drawn = some.get(r)[10];
        difference[drawn]++;
        for (int i = 0; i < vocabulary; i++) {
          difference[i] -= p[r][i];
          covariance[i][i] += p[r][i];
          for (int j = 0; j <= i; j++) {
            covariance[i][j] -= p[r][i] * p[r][j];
          }
        }
      }
    }
    for (int i = 0; i < vocabulary; i++) {
      for (int j = 0; j < i; j++) {
        covariance[j][i] = covariance[i][j];
      }
    }
    assertTrue(reached.size() > count / 4, "too few long records: " + reached.size());
    assertFits("tenth", Fit.pValue(difference, covariance));
  }

  @ParameterizedTest
  @CsvSource({"0.7, 1", "1.5, 0.9", "1, 0.5"})
  void temperatureAndTopPAreTheModelsToo(double temperature, double topP) throws IOException {
    open(WIDE);
    List<int[]> records = sample(60_000, 3, temperature, topP, 7, 1000);
    assertFirstAndSecondTokensFit(records, temperature, topP);
  }

  /** A hundred seeds: how often two agree on a record's first token, compared with chance. */
  @Test
  void seedsAgreeAsOftenAsChanceHasIt() throws IOException {
    open(WIDE);
    int seeds = 100;
    int records = 500;
    int[][] first = new int[seeds][];
    for (int seed = 0; seed < seeds; seed++) {
      first[seed] =
          sample(records, 2, 1, 1, seed, records).stream().mapToInt(record -> record[1]).toArray();
    }
    assertAgreementByChance(first);
  }

  /** The same for records: how often two agree on their first token, over seeds. */
  @Test
  void recordsAgreeAsOftenAsChanceHasIt() throws IOException {
    open(WIDE);
    int seeds = 250;
    int records = 100;
    int[][] first = new int[records][seeds];
    for (int seed = 0; seed < seeds; seed++) {
      List<int[]> sampled = sample(records, 2, 1, 1, seed, records);
      for (int record = 0; record < records; record++) {
        first[record][seed] = sampled.get(record)[1];
      }
    }
    assertAgreementByChance(first);
  }

  private void assertAgreementByChance(int[][] first) {
    double[] p = after(new int[][] {{model.bosToken()}}, 1, 1)[0];
    double chance = Arrays.stream(p).map(x -> x * x).sum();
    int n = first[0].length;
    double deviation = Math.sqrt(n * chance * (1 - chance));
    double squares = 0;
    int pairs = 0;
    for (int s = 0; s < first.length; s++) {
      for (int t = 0; t < s; t++) {
        int agree = 0;
        for (int i = 0; i < n; i++) {
          agree += first[s][i] == first[t][i] ? 1 : 0;
        }
        double z = (agree - n * chance) / deviation;
        assertTrue(Math.abs(z) < 6.5, s + " and " + t + " agree " + agree + " times of " + n);
        squares += z * z;
        pairs++;
      }
    }
    assertEquals(1, squares / pairs, 0.15, "mean of z squared");
  }
}
