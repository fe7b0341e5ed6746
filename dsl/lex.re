/* lex.re: one raw token at a time, by re2c. What a token means where it stands (statement ends, brackets, statement words)
** is decided in tokens.c, so that this file is only the table of spellings.
**
** The source is NUL-terminated and known to be UTF-8; a NUL before `end` is a bad character like any other.
*/
#include "dsl/token.h"

#include "gram.h"

AdvTok adv_lex_raw(const char *text, uint32_t at, uint32_t end)
{
    const char *YYCURSOR = text + at, *YYMARKER = YYCURSOR, *tok;
    (void)YYMARKER;
again:
    tok = YYCURSOR;
#define R(k) return adv_tok_between((k), text, tok, YYCURSOR)
    /*!re2c
      re2c:define:YYCTYPE = "unsigned char";
      re2c:define:YYCURSOR = YYCURSOR;
      re2c:define:YYMARKER = YYMARKER;
      re2c:yyfill:enable = 0;
      re2c:sentinel = 0;

      word = [A-Za-z_][A-Za-z_0-9]*;
      num  = [0-9]+ ("." [0-9]+)? ([eE][+-]?[0-9]+)?;
      wide = [\xc2-\xdf][\x80-\xbf] | [\xe0-\xef][\x80-\xbf]{2} | [\xf0-\xf4][\x80-\xbf]{3};

      "\x00"          { if ((uint32_t)(tok - text) == end) return adv_tok_between(ADV_RAW_EOF, text, tok, tok); R(ADV_RAW_BAD_CHAR); }
      [ \t\r]+        { goto again; }
      "#" [^\n\x00]*  { R(ADV_RAW_COMMENT); }
      "\n"            { R(ADV_RAW_NEWLINE); }
      ";"             { R(TK_END); }

      "->"  { R(TK_ARROW); }   "<-"  { R(TK_SET); }    "=>"  { R(TK_LAMBDA); }
      "||"  { R(TK_BARS); }    ".."  { R(TK_DOTS); }
      "=="  { R(TK_EQ); }      "!="  { R(TK_NE); }     "<="  { R(TK_LE); }
      ">="  { R(TK_GE); }      "<"   { R(TK_LT); }     ">"   { R(TK_GT); }
      "+"   { R(TK_PLUS); }    "-"   { R(TK_MINUS); }  "*"   { R(TK_STAR); }
      "/"   { R(TK_SLASH); }   "^"   { R(TK_CARET); }  "="   { R(TK_ASSIGN); }
      "("   { R(TK_LP); }      ")"   { R(TK_RP); }     "["   { R(TK_LB); }
      "]"   { R(TK_RB); }      "{"   { R(TK_LC); }     "}"   { R(TK_RC); }
      ","   { R(TK_COMMA); }   ":"   { R(TK_COLON); }  "."   { R(TK_DOT); }

      num                                                    { R(TK_NUM); }
      [0-9]+ "." / [^.0-9]                                   { R(ADV_RAW_BAD_NUMBER); }
      "." [0-9]+ ([eE][+-]?[0-9]+)?                          { R(ADV_RAW_BAD_NUMBER); }
      [0-9]+ ("." [0-9]+)? [A-Za-z_][A-Za-z_0-9]*            { R(ADV_RAW_BAD_NUMBER); }
      ["] ([^"\\\n\x00] | "\\" [^\n\x00])* ["]               { R(TK_STR); }
      ["] ([^"\\\n\x00] | "\\" [^\n\x00])* "\\"?             { R(ADV_RAW_BAD_STRING); }

      "if" { R(TK_IF); }     "then" { R(TK_THEN); }   "else" { R(TK_ELSE); }
      "and" { R(TK_AND); }   "or" { R(TK_OR); }       "not" { R(TK_NOT); }
      "over" { R(TK_OVER); } "to" { R(TK_TO); }       "as" { R(TK_AS); }     "in" { R(TK_IN); }
      "adv" { R(TK_ADV); }           "use" { R(TK_USE); }           "param" { R(TK_PARAM); }       "net" { R(TK_NET); }
      "fn" { R(TK_FN); }             "loss" { R(TK_LOSS); }         "attack" { R(TK_ATTACK); }     "model" { R(TK_MODEL); }
      "optim" { R(TK_OPTIM); }       "signal" { R(TK_SIGNAL); }     "state" { R(TK_STATE); }       "data" { R(TK_DATA); }
      "budget" { R(TK_BUDGET); }     "step" { R(TK_STEP); }         "phase" { R(TK_PHASE); }       "train" { R(TK_TRAIN); }
      "eval" { R(TK_EVAL); }         "run" { R(TK_RUN); }           "epoch" { R(TK_EPOCH); }       "carry" { R(TK_CARRY); }
      "return" { R(TK_RETURN); }     "within" { R(TK_WITHIN); }     "touch" { R(TK_TOUCH); }       "minimize" { R(TK_MINIMIZE); }
      "maximize" { R(TK_MAXIMIZE); } "apply" { R(TK_APPLY); }       "repeat" { R(TK_REPEAT); }     "replay" { R(TK_REPLAY); }
      "with" { R(TK_WITH); }
      word { R(TK_ID); }

      wide { R(ADV_RAW_BAD_CHAR); }
      *    { R(ADV_RAW_BAD_CHAR); }
    */
#undef R
}
