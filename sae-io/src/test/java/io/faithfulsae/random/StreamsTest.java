package io.faithfulsae.random;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.random.Rng.Purpose;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.IntFunction;
import java.util.function.LongSupplier;
import org.apache.commons.math3.random.Well19937c;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Whether streams of one generator are independent of each other. */
class StreamsTest {
  /** Several thousand p-values are checked; a real fault gives far smaller ones. */
  private static final double LEAST = 1e-7;

  private static final Purpose[] PURPOSES = Purpose.values();

  /** The ways streams are numbered; all of them only for the records of data sets. */
  private static Map<String, IntFunction<Rng>> families(Purpose purpose) {
    Map<String, IntFunction<Rng>> families = new LinkedHashMap<>();
    families.put("index 0, 1, 2", i -> new Rng(purpose, 42, i));
    families.put("seed 0, 1, 2", i -> new Rng(purpose, i));
    families.put("part 0 and 1 of index 0, 1, 2", i -> new Rng(purpose, 42, i / 2, i % 2));
    if (purpose != Purpose.RECORDS) {
      return families;
    }
    long[] sparse = sparseWords();
    families.put("index in steps of 1,000", i -> new Rng(purpose, 43, 1000L * i));
    families.put("index in steps of 2^32", i -> new Rng(purpose, 0, (long) i << 32));
    families.put("index of few bits", i -> new Rng(purpose, -1, sparse[i]));
    families.put("seed of few bits", i -> new Rng(purpose, sparse[i]));
    families.put("seed and its complement", i -> new Rng(purpose, i % 2 == 0 ? i / 2 : ~(i / 2)));
    families.put("seed and index together", i -> new Rng(purpose, i, i));
    return families;
  }

  /** Powers of two, their sums by two and by three. */
  private static long[] sparseWords() {
    long[] words = new long[64 + 64 * 63 / 2 + 64 * 63 * 62 / 6];
    int count = 0;
    for (int a = 0; a < 64; a++) {
      words[count++] = 1L << a;
      for (int b = 0; b < a; b++) {
        words[count++] = 1L << a | 1L << b;
        for (int c = 0; c < b; c++) {
          words[count++] = 1L << a | 1L << b | 1L << c;
        }
      }
    }
    return words;
  }

  @ParameterizedTest
  @EnumSource(Purpose.class)
  void streamsOfAPurposeLookIndependent(Purpose purpose) {
    List<Double> all = new ArrayList<>();
    families(purpose)
        .forEach(
            (name, family) -> {
              Map<String, Double> pValues =
                  StreamBattery.pValues(
                      i -> {
                        Rng rng = family.apply(i);
                        return rng::nextLong;
                      });
              assertPasses(purpose + ", " + name, pValues);
              all.addAll(pValues.values());
            });
    double small = all.stream().filter(p -> p < 0.01).count();
    double expected = 0.01 * all.size();
    assertTrue(
        small < expected + 6 * Math.sqrt(expected),
        small + " of " + all.size() + " p-values are below 0.01");
  }

  @Test
  void purposesOfOneSeedLookIndependent() {
    assertPasses(
        "purposes in turn",
        StreamBattery.pValues(
            i -> new Rng(PURPOSES[i % PURPOSES.length], i / PURPOSES.length)::nextLong));
  }

  private static void assertPasses(String family, Map<String, Double> pValues) {
    pValues.forEach((test, p) -> assertTrue(p > LEAST, family + ", " + test + ": p = " + p));
  }

  /** Records were once seeded this way: the battery must detect it. */
  @Test
  void rejectsHowRecordsWereSeeded() {
    assertRejects("ids", id -> well(42, id)::nextLong);
    assertRejects("seeds", seed -> well(seed, 0)::nextLong);
  }

  private static Well19937c well(long seed, long id) {
    return new Well19937c(new int[] {(int) (seed >>> 32), (int) seed, (int) (id >>> 32), (int) id});
  }

  @Test
  void rejectsRelatedSeedsOfJavasRandom() {
    assertRejects("seeds", seed -> new Random(seed)::nextLong);
  }

  private static void assertRejects(String family, IntFunction<LongSupplier> streams) {
    double least =
        StreamBattery.pValues(streams).values().stream()
            .mapToDouble(Double::doubleValue)
            .min()
            .orElseThrow();
    assertTrue(least < 1e-12, family + ": least p = " + least);
  }

  /** Pearson's r over ids, for each pair of seeds and each of the first draws. */
  @Test
  void seedsDoNotCorrelate() {
    int seeds = 100;
    int ids = 2000;
    int draws = 8;
    double[][][] centered = new double[draws][seeds][ids];
    for (int seed = 0; seed < seeds; seed++) {
      for (int id = 0; id < ids; id++) {
        Rng rng = new Rng(Purpose.RECORDS, seed, id);
        for (int draw = 0; draw < draws; draw++) {
          centered[draw][seed][id] = (rng.nextDouble() - 0.5) * Math.sqrt(12);
        }
      }
    }
    assertUncorrelated(centered, ids);
  }

  /** The same with the roles swapped: ids 0 to 99 over seeds. */
  @Test
  void idsDoNotCorrelate() {
    int ids = 100;
    int seeds = 2000;
    int draws = 8;
    double[][][] centered = new double[draws][ids][seeds];
    for (int id = 0; id < ids; id++) {
      for (int seed = 0; seed < seeds; seed++) {
        Rng rng = new Rng(Purpose.RECORDS, seed, id);
        for (int draw = 0; draw < draws; draw++) {
          centered[draw][id][seed] = (rng.nextDouble() - 0.5) * Math.sqrt(12);
        }
      }
    }
    assertUncorrelated(centered, seeds);
  }

  private static void assertUncorrelated(double[][][] centered, int count) {
    double sum = 0;
    int pairs = 0;
    for (double[][] draw : centered) {
      for (int s = 0; s < draw.length; s++) {
        for (int t = 0; t < s; t++) {
          double product = 0;
          for (int i = 0; i < count; i++) {
            product += draw[s][i] * draw[t][i];
          }
          double z = product / Math.sqrt(count);
          assertTrue(Math.abs(z) < 6, "streams " + s + " and " + t + " correlate with z = " + z);
          sum += z * z;
          pairs++;
        }
      }
    }
    assertEquals(1, sum / pairs, 6 * Math.sqrt(2.0 / pairs), "mean of z squared");
  }
}
