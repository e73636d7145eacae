package io.faithfulsae.models.explain;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.sun.net.httpserver.HttpServer;
import io.faithfulsae.models.explain.Explainer.Evidence;
import io.faithfulsae.models.explain.Explainer.Text;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Against a local server from the JDK. */
class ChatExplainerTest {
  private static final Evidence EVIDENCE =
      new Evidence(
          7,
          List.of(
              new Text(
                  List.of("The", " big", " dog", "s", " ran"), List.of(0.0, 0.4, 2.0, 1.5, 0.0))),
          List.of(" barked", " ran"));

  private final CountDownLatch never = new CountDownLatch(1);
  private HttpServer server;
  private int status = 200;
  private String answer = "{\"choices\": [{\"message\": {\"content\": \" dogs \\n\"}}]}";
  private String asked = "";
  private String finds = "";
  private int calls;
  private String authorization = "";

  @BeforeEach
  void start() throws IOException {
    server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    server.createContext(
        "/v1/chat/completions",
        exchange -> {
          asked = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
          authorization = String.valueOf(exchange.getRequestHeaders().getFirst("Authorization"));
          if (answer.isEmpty()) {
            await();
          }
          byte[] body = answerTo(asked).getBytes(StandardCharsets.UTF_8);
          exchange.sendResponseHeaders(status, body.length);
          exchange.getResponseBody().write(body);
          exchange.close();
        });
    server.start();
  }

  private void await() {
    try {
      never.await();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  @AfterEach
  void stop() {
    never.countDown();
    server.stop(0);
  }

  @Test
  void asksAsOpenAisClientsDo() throws IOException, InterruptedException {
    assertEquals("dogs", explainer(Duration.ofSeconds(10)).explain(EVIDENCE));
    JsonNode body = new JsonMapper().readTree(asked);
    assertEquals("some-model", body.path("model").asText());
    assertEquals("Bearer secret", authorization);
    String prompt = body.path("messages").get(1).path("content").asText();
    assertTrue(prompt.contains("Text 1: The big<< dogs>> ran"), prompt);
    assertTrue(prompt.contains(" barked"), prompt);
  }

  @Test
  void timeoutCoversTheWholeAnswer() throws IOException {
    HttpServer trickling =
        HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    trickling.setExecutor(Executors.newCachedThreadPool());
    trickling.createContext(
        "/",
        exchange -> {
          exchange.sendResponseHeaders(200, 0);
          try {
            while (!never.await(20, TimeUnit.MILLISECONDS)) {
              exchange.getResponseBody().write(' ');
              exchange.getResponseBody().flush();
            }
          } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
          }
          exchange.close();
        });
    trickling.start();
    try {
      Explainer explainer =
          Explainer.ofChat(
              URI.create("http://127.0.0.1:" + trickling.getAddress().getPort() + "/v1"),
              "some-model",
              null,
              Duration.ofMillis(500));
      IOException failure =
          assertTimeoutPreemptively(
              Duration.ofSeconds(60),
              () -> assertThrows(IOException.class, () -> explainer.explain(EVIDENCE)));
      assertTrue(failure.getMessage().contains("a part of one"), failure.getMessage());
    } finally {
      never.countDown();
      trickling.stop(0);
    }
  }

  @Test
  void keyIsTrimmedAndNeverShown() throws IOException, InterruptedException {
    URI base = URI.create("http://127.0.0.1:" + server.getAddress().getPort() + "/v1");
    Duration timeout = Duration.ofSeconds(10);
    Explainer explainer = Explainer.ofChat(base, "some-model", "secret\n", timeout);
    assertEquals("dogs", explainer.explain(EVIDENCE));
    assertEquals("Bearer secret", authorization);
    IllegalArgumentException inside =
        assertThrows(
            IllegalArgumentException.class,
            () -> Explainer.ofChat(base, "some-model", "secret\r\nX: y", timeout));
    assertFalse(inside.getMessage().contains("secret"), inside.getMessage());
    status = 401;
    answer = "the key secret is not known";
    IOException refused = assertThrows(IOException.class, () -> explainer.explain(EVIDENCE));
    assertTrue(refused.getMessage().contains("the key [key] is not known"), refused.getMessage());
  }

  @Test
  void anEndlessAnswerIsGivenUp() {
    answer = " ".repeat((1 << 20) + 1);
    IOException failure =
        assertThrows(IOException.class, () -> explainer(Duration.ofSeconds(10)).explain(EVIDENCE));
    assertTrue(failure.getMessage().contains("at most 1048576 bytes"), failure.getMessage());
  }

  @Test
  void detectorReadsTheLastListOfTheAnswer() throws IOException, InterruptedException {
    Detector detector = detector();
    answer = content("The second, as in [1, 1]: so [0, 1,0]");
    assertEquals(
        List.of(false, true, false),
        detector.detect("dogs", List.of("a cat", "The dogs ran", "rain")));
    String prompt =
        new JsonMapper().readTree(asked).path("messages").get(1).path("content").asText();
    assertTrue(prompt.contains("The feature: dogs\n"), prompt);
    assertTrue(prompt.contains("Text 2: The dogs ran\n"), prompt);
    for (String unreadable : List.of("none of them", "[0, 1]", "[0, 2, 1]", "[]")) {
      answer = content(unreadable);
      assertEquals(List.of(), detector.detect("dogs", List.of("a", "b", "c")), unreadable);
    }
    status = 500;
    assertThrows(IOException.class, () -> detector.detect("dogs", List.of("a")));
  }

  @Test
  void explanationIsScoredByWhatTheServerDetects() throws IOException, InterruptedException {
    // The server says that every text with "dog" fires: 3 of 4 firing and 1 of 6 silent snippets.
    finds = "dog";
    List<String> firing = List.of("a dog", "the dog", "big dogs", "a wolf");
    List<String> silent = List.of("dogma", "rain", "a cat", "the sea", "tea", "snow");
    DetectionScore score = DetectionScore.of(detector(), "dogs", firing, silent, 3, 5);
    assertEquals(new DetectionScore(3, 1, 5, 1, 0), score);
    // scikit-learn: balanced_accuracy_score, precision_score, recall_score, f1_score of these
    assertEquals(0.8, score.accuracy(), 1e-12);
    assertEquals((3 / 4.0 + 5 / 6.0) / 2, score.balancedAccuracy(), 1e-12);
    assertEquals(0.75, score.precision(), 1e-12);
    assertEquals(0.75, score.recall(), 1e-12);
    assertEquals(0.75, score.f1(), 1e-12);
    assertEquals(4, calls, "ten snippets, three at once");
    finds = "";
    answer = content("I cannot say");
    DetectionScore none = DetectionScore.of(detector(), "dogs", firing, silent, 4, 5);
    assertEquals(new DetectionScore(0, 0, 0, 0, 10), none);
    assertEquals(0, none.balancedAccuracy());
    assertThrows(
        IllegalArgumentException.class,
        () -> DetectionScore.of(detector(), "dogs", firing, silent, 0, 5));
  }

  /** The server's answer to a request: a fixed answer, or which texts contain a word. */
  private String answerTo(String request) throws IOException {
    calls++;
    if (finds.isEmpty()) {
      return answer;
    }
    String prompt =
        new JsonMapper().readTree(request).path("messages").get(1).path("content").asText();
    List<String> found =
        prompt.lines().skip(1).map(line -> line.contains(finds) ? "1" : "0").toList();
    return content(found.toString());
  }

  private static String content(String text) throws IOException {
    return new JsonMapper()
        .writeValueAsString(Map.of("choices", List.of(Map.of("message", Map.of("content", text)))));
  }

  private Detector detector() {
    URI base = URI.create("http://127.0.0.1:" + server.getAddress().getPort() + "/v1");
    return Detector.ofChat(base, "some-model", null, Duration.ofSeconds(10));
  }

  @Test
  void whatGoesWrongIsSaid() {
    status = 401;
    answer = "{\"error\": \"who are you\"}";
    assertSays("401", "check the key");
    status = 200;
    answer = "<html>";
    assertSays("<html>", "chat protocol");
    answer = "";
    IOException late =
        assertThrows(IOException.class, () -> explainer(Duration.ofMillis(300)).explain(EVIDENCE));
    assertTrue(late.getMessage().contains("got none"), late.getMessage());
    assertThrows(
        IllegalArgumentException.class,
        () -> Explainer.ofChat(URI.create("localhost"), "m", null, Duration.ofSeconds(1)));
  }

  @Test
  void noServerIsSaid() {
    Explainer nobody =
        Explainer.ofChat(URI.create("http://127.0.0.1:1/v1"), "m", null, Duration.ofSeconds(5));
    IOException none = assertThrows(IOException.class, () -> nobody.explain(EVIDENCE));
    assertTrue(none.getMessage().contains("check the address"), none.getMessage());
  }

  private void assertSays(String... parts) {
    IOException problem =
        assertThrows(IOException.class, () -> explainer(Duration.ofSeconds(10)).explain(EVIDENCE));
    for (String part : parts) {
      assertTrue(problem.getMessage().contains(part), problem.getMessage());
    }
  }

  private Explainer explainer(Duration timeout) {
    URI base = URI.create("http://127.0.0.1:" + server.getAddress().getPort() + "/v1");
    return Explainer.ofChat(base, "some-model", "secret", timeout);
  }
}
