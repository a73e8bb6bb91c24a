package dev.sandkeeper.server.engine.local;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.sandkeeper.server.engine.EngineSandbox;
import dev.sandkeeper.server.engine.Recording;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** What values and lines of Python cells show, in a real sandbox. */
class LocalEngineResultsTest {
  private static final String CHART = "application/vnd.sandkeeper.chart.v1+json";
  private static final String TABLE = "application/vnd.sandkeeper.table.v1+json";

  private static EngineFixture fixture;
  private static EngineSandbox sandbox;

  @BeforeAll
  static void create() throws Exception {
    fixture = new EngineFixture();
    sandbox = fixture.create();
  }

  @AfterAll
  static void destroy() throws Exception {
    fixture.close();
  }

  private static Recording python(String source) throws Exception {
    return EngineFixture.run(sandbox, EngineFixture.python(source));
  }

  @Test
  void valuesShowThemselvesByTheirMethods() throws Exception {
    Map<String, String> results =
        python(
                """
                class Shown:
                  def __repr__(self): return 'shown'
                  def _repr_html_(self): return '<b>html</b>'
                  def _repr_markdown_(self): return '*markdown*'
                  def _repr_json_(self): return {'a': [1, None]}
                  def _repr_svg_(self): return '<svg/>'
                  def _repr_png_(self): return b'png'
                  def _repr_pdf_(self): return 'cGRm'
                Shown()
                """)
            .results();

    assertThat(results)
        .containsExactlyInAnyOrderEntriesOf(
            Map.of(
                "text/plain", "shown",
                "text/html", "<b>html</b>",
                "text/markdown", "*markdown*",
                "application/json", "{\"a\": [1, null]}",
                "image/svg+xml", "<svg/>",
                "image/png", "png",
                "application/pdf", "pdf"));
  }

  @Test
  void wholeBundlesComeFirstAndWhatFailsIsLeftOut() throws Exception {
    Map<String, String> results =
        python(
                """
                class Shown:
                  def _repr_mimebundle_(self, include=None, exclude=None):
                    return {'text/html': 'mine', 'x-own/type': {'k': 1}, 'none': 'x'}, {}
                  def _repr_html_(self): return 'other'
                  def _repr_svg_(self): raise ValueError()
                  def _repr_png_(self): return None
                  _repr_json_ = 5
                Shown()
                """)
            .results();

    assertThat(results)
        .containsOnlyKeys("text/plain", "text/html", "x-own/type")
        .containsEntry("text/html", "mine")
        .containsEntry("x-own/type", "{\"k\": 1}");
  }

  @Test
  void classesAreNotShownAsTheirInstances() throws Exception {
    assertThat(python("class Shown:\n  def _repr_html_(self): return 'x'\nShown").results())
        .containsOnlyKeys("text/plain");
  }

  @Test
  void displayShowsAtOnceAndBehindWhatWasPrinted() throws Exception {
    Recording recording = python("print('before')\ndisplay(1, 'two')\nprint('behind')");

    assertThat(recording.stdout()).isEqualTo("before\nbehind\n");
    assertThat(recording.results()).containsEntry("text/plain", "'two'");
    // Started, two results, and the output in one piece or two.
    assertThat(recording.told()).isBetween(4L, 5L);
  }

  @Test
  void whatIsTooLargeIsLeftOutAndSaid() throws Exception {
    Recording one =
        python(
            """
            class Large:
              def __repr__(self): return 'large'
              def _repr_png_(self): return bytes(2_000_000)
              def _repr_html_(self): return 'small'
            Large()
            """);
    assertThat(one.results()).containsOnlyKeys("text/plain", "text/html");
    assertThat(one.stderr()).contains("image/png is left out", "2000000 bytes");

    Recording many = python("for i in range(200): display(i)\nkept = 3");
    assertThat(many.stderr()).containsOnlyOnce("at most 64");
    assertThat(python("kept").results()).containsEntry("text/plain", "3");
  }

  @Test
  void dataFramesAreTables() throws Exception {
    JsonNode table =
        JsonMapper.builder()
            .build()
            .readTree(
                python(
                        """
                        class DataFrame:
                          columns, dtypes, shape = ['a', 'b'], ['int64', 'object'], (2000, 2)
                          def itertuples(self):
                            return ((i, i * 1.5 if i else float('nan'), 'x') for i in range(2000))
                        DataFrame()
                        """)
                    .results()
                    .get(TABLE));

    assertThat(table.at("/columns/0/name").asText()).isEqualTo("a");
    assertThat(table.at("/columns/1/type").asText()).isEqualTo("object");
    assertThat(table.at("/rows")).hasSize(1000);
    assertThat(table.at("/rows/0/0").isNull()).isTrue();
    assertThat(table.at("/rows/2").toString()).isEqualTo("[3.0,\"x\"]");
    assertThat(table.at("/row_count").asInt()).isEqualTo(2000);
  }

  @Test
  void realDataFramesAreTables() throws Exception {
    Map<String, String> results =
        python(
                """
                import pandas
                pandas.DataFrame(
                    {
                        'n': [1, 2],
                        'x': [0.5, float('nan')],
                        'when': pandas.to_datetime(['2026-03-01', None]),
                        'name': pandas.Categorical(['a', 'b']),
                    },
                    index=['first', 'second'],
                )
                """)
            .results();

    assertThat(results.get("text/plain")).contains("first", "2026-03-01");
    assertThat(results.get("text/html")).contains("<table");
    JsonNode table = JsonMapper.builder().build().readTree(results.get(TABLE));
    assertThat(table.get("columns").findValuesAsText("name"))
        .containsExactly("n", "x", "when", "name");
    assertThat(table.get("columns").findValuesAsText("type"))
        .containsExactly("int64", "float64", "datetime64[ns]", "category");
    assertThat(table.get("index").toString()).isEqualTo("[\"first\",\"second\"]");
    assertThat(table.at("/rows/0").toString()).isEqualTo("[1,0.5,\"2026-03-01 00:00:00\",\"a\"]");
    assertThat(table.at("/rows/1/1").isNull()).isTrue();
    assertThat(table.at("/row_count").asInt()).isEqualTo(2);
  }

  @Test
  void figuresArePicturesAndData() throws Exception {
    Map<String, String> results =
        python(
                """
                import matplotlib.pyplot as plt
                figure, (one, two, three, four, five) = plt.subplots(1, 5)
                one.plot([1, 2], [3, 4], label='up')
                one.set_title('Title')
                one.set_xlabel('x label')
                two.scatter([1], [2])
                three.bar(['a', 'b'], [3, 4])
                four.pie([1, 3], labels=['p', 'q'])
                five.boxplot([[1, 2, 3, 4, 30]])
                plt.show()
                """)
            .results();

    assertThat(results.get("image/png")).contains("PNG");
    JsonNode charts = JsonMapper.builder().build().readTree(results.get(CHART)).get("charts");
    assertThat(charts.findValuesAsText("type"))
        .containsExactly("line", "scatter", "bar", "pie", "box");
    assertThat(charts.at("/0/title").asText()).isEqualTo("Title");
    assertThat(charts.at("/0/axes/x/label").asText()).isEqualTo("x label");
    assertThat(charts.at("/0/series/0").toString())
        .isEqualTo("{\"label\":\"up\",\"points\":[[1,3],[2,4]]}");
    assertThat(charts.at("/2/series/0/points").toString()).isEqualTo("[[\"a\",3],[\"b\",4]]");
    assertThat(charts.at("/3/series/0/points").toString()).isEqualTo("[[\"p\",0.25],[\"q\",0.75]]");
    assertThat(charts.at("/4/series/0/box/median").asInt()).isEqualTo(3);
    assertThat(charts.at("/4/series/0/outliers").toString()).isEqualTo("[30]");
  }

  @Test
  void linesForTheShellAreRun() throws Exception {
    Recording recording =
        python(
            """
            text = '''
            !not a command
            %pip neither
            '''
            print('one')
            !echo two; echo "it's" >&2; exit 3
            if _exit_code == 3:
                !echo three
            print(7
            %2)
            text.count('!')
            """);

    assertThat(recording.stdout()).isEqualTo("one\ntwo\nthree\n1\n");
    assertThat(recording.stderr()).isEqualTo("it's\n");
    assertThat(recording.results()).containsEntry("text/plain", "1");
  }

  @Test
  void pipIsThatOfTheInterpreter() throws Exception {
    Recording recording = python("%pip --version\n_exit_code");

    // Where the host has no pip, Python says so.
    assertThat(recording.stdout() + recording.stderr()).contains("pip");
    assertThat(recording.results()).containsKey("text/plain");
  }

  @Test
  void errorsBesideLinesForTheShellAreThoseOfTheCode() throws Exception {
    Recording recording = python("!echo never\ndef (:");

    assertThat(recording.errors().getFirst().name()).isEqualTo("SyntaxError");
    assertThat(recording.errors().getFirst().traceback()).contains("line 2", "def (:");
    assertThat(recording.stdout()).isEmpty();
  }
}
