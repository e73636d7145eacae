package io.faithfulsae.models.explain;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.io.Expected;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpTimeoutException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/**
 * Talks to a server that implements OpenAI's chat protocol ({@code POST BASE/chat/completions}).
 */
final class ChatClient {
  private static final JsonMapper JSON = new JsonMapper();
  private static final int SHOWN = 300;
  private static final int MOST_BYTES = 1 << 20;

  private final URI endpoint;
  private final String model;
  private final @Nullable String key;
  private final Duration timeout;
  private final HttpClient client;

  ChatClient(URI base, String model, @Nullable String key, Duration timeout) {
    String scheme = String.valueOf(base.getScheme());
    if (!scheme.equals("http") && !scheme.equals("https")) {
      throw new IllegalArgumentException(
          Expected.message(
              "an http or https address", base, "use one such as http://localhost:8000/v1"));
    }
    String text = base.toString();
    this.endpoint = URI.create((text.endsWith("/") ? text : text + "/") + "chat/completions");
    this.model = model;
    this.key = key == null || key.isBlank() ? null : headerValue(key.strip());
    this.timeout = timeout;
    this.client = HttpClient.newBuilder().connectTimeout(timeout).build();
  }

  /** The key, which may not show up in an error: the HTTP client's own message would contain it. */
  private static String headerValue(String key) {
    if (!key.chars().allMatch(c -> c > ' ' && c < 0x7f)) {
      throw new IllegalArgumentException(
          Expected.message(
              "an API key of visible ASCII characters",
              "one with others inside",
              "copy the key again, without line breaks"));
    }
    return key;
  }

  /** The answer, stripped. */
  String ask(String task, String question, int answerTokens)
      throws IOException, InterruptedException {
    Map<String, Object> body =
        Map.of(
            "model",
            model,
            "temperature",
            0,
            "max_tokens",
            answerTokens,
            "messages",
            List.of(
                Map.of("role", "system", "content", task),
                Map.of("role", "user", "content", question)));
    HttpRequest.Builder request =
        HttpRequest.newBuilder(endpoint)
            .timeout(timeout)
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString(JSON.writeValueAsString(body)));
    if (key != null) {
      request.header("Authorization", "Bearer " + key);
    }
    return answer(send(request.build()));
  }

  /**
   * Sends a request, and waits for the whole answer: the client's own timeout ends with its head.
   */
  private HttpResponse<String> send(HttpRequest request) throws IOException, InterruptedException {
    CompletableFuture<HttpResponse<String>> response =
        client.sendAsync(request, head -> new BoundedBody(MOST_BYTES));
    try {
      return response.get(timeout.toMillis(), TimeUnit.MILLISECONDS);
    } catch (TimeoutException e) {
      throw tooLate(e);
    } catch (ExecutionException e) {
      if (e.getCause() instanceof HttpTimeoutException) {
        throw tooLate(e);
      }
      throw new IOException(
          Expected.message("an answer from " + endpoint, e.getCause(), "check the address"), e);
    } finally {
      response.cancel(true);
    }
  }

  private IOException tooLate(Exception cause) {
    return new IOException(
        Expected.message(
            "an answer from " + endpoint + " within " + timeout.toSeconds() + " s",
            "none, or a part of one",
            "use a longer timeout or a faster server"),
        cause);
  }

  private String answer(HttpResponse<String> response) throws IOException {
    String body = response.body();
    String kept = key == null ? body : body.replace(key, "[key]");
    String shown = kept.length() > SHOWN ? kept.substring(0, SHOWN) + " …" : kept;
    if (response.statusCode() != 200) {
      String remedy =
          response.statusCode() == 401 || response.statusCode() == 403
              ? "check the key"
              : "check the address and the model's name";
      throw new IOException(
          Expected.message(
              "status 200 from " + endpoint, response.statusCode() + ": " + shown, remedy));
    }
    try {
      JsonNode content =
          JSON.readTree(body).path("choices").path(0).path("message").path("content");
      if (content.isTextual() && !content.textValue().isBlank()) {
        return content.textValue().strip();
      }
    } catch (JsonProcessingException e) {
      // reported below, with the answer
    }
    throw new IOException(
        Expected.message(
            "choices[0].message.content from " + endpoint,
            shown,
            "use a server that implements OpenAI's chat protocol"));
  }
}
