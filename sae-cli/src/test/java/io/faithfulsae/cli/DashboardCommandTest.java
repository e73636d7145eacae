package io.faithfulsae.cli;

import static io.faithfulsae.cli.Tiny.sae;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code sae dashboard} on the embedded model. */
final class DashboardCommandTest {
  @TempDir static Path dir;
  private static Path text;
  private static Path trained;

  @BeforeAll
  static void train() throws IOException {
    text =
        Files.writeString(dir.resolve("text.txt"), "the <dog> & cat ran. it was fun. ".repeat(200));
    trained = dir.resolve("sae");
    sae(
            "train",
            "--data",
            text,
            "--hook",
            "blocks.1.hook_resid_pre",
            "--d-sae",
            64,
            "--k",
            8,
            "--tokens",
            4_000,
            "--batch",
            200,
            "--context",
            32,
            "--out",
            trained)
        .ok();
  }

  /** The command for the trained SAE on the text, with NAME.html and NAME.json as its files. */
  private static Tiny.Ran dashboard(String name, Object... options) {
    List<Object> all = new ArrayList<>(List.of("dashboard", "--sae", trained, "--data", text));
    all.addAll(List.of("--out", dir.resolve(name + ".html")));
    all.addAll(Arrays.asList(options));
    return sae(all.toArray());
  }

  private static JsonNode latents(String name) throws IOException {
    return new JsonMapper().readTree(dir.resolve(name + ".json").toFile()).path("latents");
  }

  @Test
  void pageShowsWhatTheJsonSays() throws IOException {
    dashboard("page", "--random", 6, "--sequences", 20, "--examples", 3).ok();
    String page = Files.readString(dir.resolve("page.html"));
    JsonNode latents = latents("page");
    assertEquals(6, latents.size());
    boolean fired = false;
    for (JsonNode latent : latents) {
      JsonNode description = latent.path("description");
      assertTrue(page.contains("<section id=\"latent-" + description.path("latent").asInt()));
      fired |= description.path("density").asDouble() > 0;
      assertEquals(description.path("examples").size(), latent.path("examples").size());
      if (description.path("density").asDouble() > 0) {
        assertEquals(10, latent.path("raised").size());
        assertEquals(5, description.path("nearest").size());
      }
    }
    assertTrue(fired && page.contains("<mark style="), "some latent fires");
    assertTrue(page.contains("&lt;") && !page.contains("<dog>"), "text is escaped");
    assertFalse(page.contains("http://") || page.contains("https://"), "no network");
  }

  /** Every name that Neuronpedia's import reads is there, and the numbers are the dashboard's. */
  @Test
  void neuronpediaReadsTheSameLatents() throws IOException {
    Path set = dir.resolve("res-64");
    dashboard(
            "exported",
            "--latents",
            "1,2,3,4,5,6,7,8",
            "--sequences",
            20,
            "--examples",
            3,
            "--neuronpedia",
            set)
        .ok();
    JsonNode latents = latents("exported");
    JsonNode batch = new JsonMapper().readTree(set.resolve("batch-0.json").toFile());
    assertEquals("1", batch.path("layer").asText());
    assertEquals("res-64", batch.path("sae_set").asText());
    assertTrue(batch.path("sae_id_suffix").isNull());
    assertEquals(8, batch.path("features").size());
    int activations = 0;
    for (int i = 0; i < 8; i++) {
      JsonNode feature = batch.path("features").get(i);
      for (String name : READ_BY_NEURONPEDIA.split(" ")) {
        assertTrue(feature.has(name), name);
      }
      JsonNode description = latents.get(i).path("description");
      assertEquals(description.path("latent"), feature.path("feature_index"));
      assertEquals(description.path("density"), feature.path("frac_nonzero"));
      assertEquals(latents.get(i).path("raised"), feature.path("pos_str"));
      assertEquals(
          feature.path("freq_hist_data_bar_values").size(),
          feature.path("freq_hist_data_bar_heights").size());
      for (JsonNode activation : feature.path("activations")) {
        activations++;
        double largest = 0;
        for (JsonNode value : activation.path("values")) {
          largest = Math.max(largest, value.asDouble());
        }
        int at = activation.path("qualifying_token_index").asInt();
        assertEquals(largest, activation.path("values").get(at).asDouble());
        assertEquals(activation.path("tokens").size(), activation.path("values").size());
        assertTrue(activation.has("bin_min") && activation.has("bin_max"));
        assertTrue(activation.has("bin_contains"));
      }
    }
    assertTrue(activations > 0, "some latent fires");
  }

  private static final String READ_BY_NEURONPEDIA =
      "feature_index neuron_alignment_indices neuron_alignment_values neuron_alignment_l1"
          + " correlated_neurons_indices correlated_neurons_pearson correlated_neurons_l1"
          + " correlated_features_indices correlated_features_pearson correlated_features_l1"
          + " neg_str neg_values pos_str pos_values frac_nonzero freq_hist_data_bar_heights"
          + " freq_hist_data_bar_values logits_hist_data_bar_heights logits_hist_data_bar_values"
          + " decoder_weights_dist activations";

  /**
   * The filter leaves out some rows of each sequence. Partners in another SAE are searched on the
   * remaining rows of the same sequences: with the SAE itself as the other, they are the same
   * partners.
   */
  @Test
  void partnersInAnotherSaeAreOfTheRowsThatThePageStates() throws IOException {
    dashboard("across", "--second", trained, "--latents", "1,2,3,4,5,6,7,8", "--sequences", 10)
        .ok();
    int compared = 0;
    for (JsonNode latent : latents("across")) {
      int number = latent.path("description").path("latent").asInt();
      assertTrue(
          latent.path("description").path("rows").asInt() < 10 * 32, "some rows are left out");
      for (JsonNode within : latent.path("description").path("correlated")) {
        for (JsonNode across : latent.path("across").path("correlated")) {
          if (across.path("latent").asInt() != number
              && across.path("latent").equals(within.path("latent"))) {
            compared++;
            assertEquals(
                within.path("correlation").asDouble(),
                across.path("correlation").asDouble(),
                1e-9,
                "latents " + number + " and " + across.path("latent"));
            assertEquals(within.path("jaccard"), across.path("jaccard"));
          }
        }
      }
    }
    assertTrue(compared > 5, compared + " partners compared");
  }

  @Test
  void explanationsComeFromTheServerThatWasNamed() throws IOException {
    HttpServer server = chat(DashboardCommandTest::answer);
    try {
      dashboard(
              "named",
              "--latents",
              "3,1",
              "--sequences",
              10,
              "--explain-with",
              address(server),
              "--explain-model",
              "m",
              "--score",
              4,
              "--second",
              trained)
          .ok();
      String page = Files.readString(dir.resolve("named.html"));
      assertTrue(page.contains("a &lt;phrase&gt;"));
      assertTrue(page.contains("Detection by this phrase alone"), "the score is shown");
      JsonNode latents = latents("named");
      assertEquals(3, latents.get(0).path("description").path("latent").asInt());
      assertEquals("a <phrase>", latents.get(1).path("explanation").asText());
      for (JsonNode latent : latents) {
        // The server says that every snippet fires.
        JsonNode counts = latent.path("score").path("counts");
        assertEquals(0, counts.path("trueNegatives").asInt() + counts.path("unanswered").asInt());
        assertEquals(0, counts.path("falseNegatives").asInt());
        assertTrue(
            counts.path("truePositives").asInt() + counts.path("falsePositives").asInt() >= 4);
        // The other SAE is the same one under another name: each firing latent has its twin.
        JsonNode across = latent.path("across").path("correlated");
        if (latent.path("description").path("density").asDouble() > 0) {
          assertEquals(
              latent.path("description").path("latent").asInt(),
              across.get(0).path("latent").asInt());
          assertEquals(1, across.get(0).path("correlation").asDouble(), 1e-9);
        }
      }
    } finally {
      server.stop(0);
    }
  }

  private interface Answers {
    /** The answer to a request; null: the server fails. */
    @Nullable String to(byte[] request) throws IOException;
  }

  /** A server that speaks OpenAI's chat protocol. */
  private static HttpServer chat(Answers answers) throws IOException {
    HttpServer server =
        HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.createContext(
        "/v1/chat/completions",
        exchange -> {
          String answer = answers.to(exchange.getRequestBody().readAllBytes());
          byte[] body =
              "{\"choices\": [{\"message\": {\"content\": \"%s\"}}]}"
                  .formatted(answer)
                  .getBytes(StandardCharsets.UTF_8);
          exchange.sendResponseHeaders(answer == null ? 500 : 200, body.length);
          exchange.getResponseBody().write(body);
          exchange.close();
        });
    server.start();
    return server;
  }

  private static String address(HttpServer server) {
    return "http://127.0.0.1:" + server.getAddress().getPort() + "/v1";
  }

  /** A phrase, or for a question about texts, a list of 1s. */
  private static String answer(byte[] request) throws IOException {
    String prompt =
        new JsonMapper().readTree(request).path("messages").get(1).path("content").asText();
    long texts = prompt.lines().filter(line -> line.matches("Text \\d+: .*")).count();
    return prompt.startsWith("The feature: ")
        ? java.util.Collections.nCopies((int) texts, 1).toString()
        : "a <phrase>";
  }

  @Test
  void aServerThatFailsLosesNoAnswer() throws IOException {
    int[] asked = {0};
    HttpServer server = chat(request -> asked[0]++ == 0 ? "first" : null);
    try {
      Tiny.Ran ran =
          dashboard(
              "half",
              "--latents",
              "3,1",
              "--sequences",
              10,
              "--explain-with",
              address(server),
              "--explain-model",
              "m");
      assertEquals(1, ran.code());
      assertTrue(ran.err().contains("with the answers so far"), ran.err());
      assertTrue(Files.exists(dir.resolve("half.html")));
      JsonNode latents = latents("half");
      assertEquals("first", latents.get(0).path("explanation").asText());
      assertFalse(latents.get(1).hasNonNull("explanation"));
    } finally {
      server.stop(0);
    }
  }

  @Test
  void scoringNeedsAServer() {
    Tiny.Ran ran = dashboard("x", "--score", 4);
    assertEquals(2, ran.code());
    assertTrue(ran.err().contains("--explain-with"), ran.err());
  }

  @Test
  void badLatentIsNamed() {
    Tiny.Ran ran = dashboard("x", "--latents", 64);
    assertEquals(1, ran.code());
    assertTrue(ran.err().contains("expected latent in [0, 63], got 64"), ran.err());
  }
}
