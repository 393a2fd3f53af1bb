package test;
import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.Tokenizer;
import org.apache.lucene.analysis.standard.StandardTokenizer;
import org.elasticsearch.plugin.NamedComponent;
import org.elasticsearch.plugin.analysis.TokenFilterFactory;
import org.elasticsearch.plugin.analysis.TokenizerFactory;

/** Stand-ins for three analysis components that the indices of API keys name and this server lacks. */
public class Passing {
    @NamedComponent("pattern_capture")
    public static class PatternCapture implements TokenFilterFactory {
        public TokenStream create(TokenStream tokens) { return tokens; }
    }
    @NamedComponent("unique")
    public static class Unique implements TokenFilterFactory {
        public TokenStream create(TokenStream tokens) { return tokens; }
    }
    @NamedComponent("uax_url_email")
    public static class UrlEmail implements TokenizerFactory {
        public Tokenizer create() { return new StandardTokenizer(); }
    }
}
