#include "style.hpp"

namespace wins::report {

// Series colours differ in lightness and in marker shape, not by hue alone.
const char* const kStyle = R"css(
:root{color-scheme:light dark;
 --page:#f6f5f2;--card:#fff;--ink:#1b1d21;--soft:#5b626b;--line:#e2e0da;--grid:#ecebe6;--tint:#f1efea;
 --dense:#7a828c;--wins:#0b66c3;--winsb:#c2560a;--winsab:#0a7f57;--fp:#a02c8d;--wwp:#806300;--other:#4c4f9e;
 --heat:#0a7f57;--heat-ink:#fff;--dead:#ebe9e4}
@media (prefers-color-scheme:dark){:root{
 --page:#121417;--card:#1b1e23;--ink:#e9eaec;--soft:#a2a9b2;--line:#30353c;--grid:#282c33;--tint:#23272d;
 --dense:#98a1ac;--wins:#62adff;--winsb:#ffa05c;--winsab:#3fd69b;--fp:#ea8fdc;--wwp:#dfc14a;--other:#a9abff;
 --heat:#3fd69b;--heat-ink:#0c1512;--dead:#262a30}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);line-height:1.5;-webkit-text-size-adjust:100%;
 font-family:ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-size:16px}
main{max-width:1180px;margin:0 auto;padding:40px 24px 64px}
h1{font-size:30px;line-height:1.15;letter-spacing:-.02em;margin:0 0 6px;font-weight:680}
h2{font-size:22px;letter-spacing:-.01em;margin:0;font-weight:660;overflow-wrap:anywhere}
h3{font-size:17px;margin:0 0 4px;font-weight:650}
.lead{color:var(--soft);margin:0 0 28px;max-width:70ch}
.note{color:var(--soft);font-size:14px;margin:0 0 14px;max-width:80ch}
article{margin:0 0 48px}
article>header{margin:0 0 18px}
pre{margin:12px 0 0;padding:12px 16px;background:var(--tint);border:1px solid var(--line);border-radius:8px;overflow-x:auto;
 font:13.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre-wrap;
 overflow-wrap:anywhere}
dl{display:flex;flex-wrap:wrap;gap:6px 28px;margin:14px 0 0;font-size:14px}
dl div{display:flex;gap:8px}
dt{color:var(--soft)}
dd{margin:0;overflow-wrap:anywhere}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:14px;margin:0 0 18px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:16px 18px}
.tile p{margin:0;color:var(--soft);font-size:13.5px}
.tile strong{display:block;font-size:28px;line-height:1.25;letter-spacing:-.02em;font-weight:660;
 font-variant-numeric:tabular-nums}
section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:20px 22px;margin:0 0 18px}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:8px 36px}
.legend{display:flex;flex-wrap:wrap;gap:4px 18px;margin:0 0 10px;padding:0;list-style:none;font-size:14px}
.badge{white-space:nowrap}
.badge svg{display:inline-block;width:15px;height:15px;vertical-align:-2px;margin-right:6px}
.scroll{overflow-x:auto;margin:0 -6px}
table{border-collapse:collapse;width:100%;font-size:14px}
th,td{padding:7px 10px;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
tbody tr:last-child td{border-bottom:0}
th{color:var(--soft);font-weight:550;font-size:13px;vertical-align:bottom}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
td.n,td:first-child{white-space:nowrap}
tr.main td{background:var(--tint)}
.whole{white-space:nowrap}
.soft{color:var(--soft)}

details{border-top:1px solid var(--line);padding:10px 0}
details:first-of-type{border-top:0}
summary{cursor:pointer;padding:2px 0;font-size:15px}
summary .badge{margin:0 8px 0 4px;font-weight:600}
summary small{color:var(--soft);font-size:14px}
details[open]>summary{margin-bottom:12px}
.maps{display:grid;grid-template-columns:repeat(auto-fill,minmax(168px,1fr));gap:20px 18px}
figure{margin:0;display:flex;flex-direction:column;justify-content:space-between}
figcaption{font-size:13px;line-height:1.35;margin:0 0 6px}
figcaption b{display:block;font-weight:600;overflow-wrap:anywhere}
figcaption span{color:var(--soft)}
svg{display:block}
.chart{width:100%;height:auto;overflow:visible}
.chart.narrow{display:none}
.grid-map{max-width:220px}
.chart text{font-size:12.5px;fill:var(--ink);font-variant-numeric:tabular-nums}
.chart text.tick,.chart text.label{fill:var(--soft)}
.chart text.value{font-size:12px;fill:var(--soft)}
.chart text.remark{font-weight:600}
.chart text.count{font-size:12px;fill:var(--ink);pointer-events:none}
.chart text.count.on{fill:var(--heat-ink)}
.chart text.count.none{fill:var(--soft)}
.grid{stroke:var(--grid);stroke-width:1}
.axis{stroke:var(--soft);stroke-width:1}
.reference{stroke:var(--dense);stroke-width:1.5;stroke-dasharray:5 4}
.join{fill:none;stroke:var(--c);stroke-width:1.6;stroke-opacity:.55}
.mark{fill:var(--c);stroke:var(--card);stroke-width:1.5}
.bar{fill:var(--c)}
.heat{fill:var(--heat)}
.dead{fill:var(--dead)}
.s-dense{--c:var(--dense)}.s-wins{--c:var(--wins)}.s-winsb{--c:var(--winsb)}.s-winsab{--c:var(--winsab)}
.s-fp{--c:var(--fp)}.s-wwp{--c:var(--wwp)}.s-run{--c:var(--heat)}.s-other{--c:var(--other)}
footer{color:var(--soft);font-size:13.5px}
@media (max-width:760px){
 main{padding:24px 14px 40px}
 h1{font-size:25px}
 section{padding:16px 14px}
 .pair{grid-template-columns:1fr}
 .tiles{grid-template-columns:1fr 1fr;gap:10px}
 .tile{padding:12px 14px}
 .tile strong{font-size:22px}
 .chart.wide{display:none}
 .chart.narrow{display:block}
 .maps{grid-template-columns:1fr 1fr;gap:18px 14px}
}
@media print{body{background:#fff}section,.tile{break-inside:avoid}}
)css";

}  // namespace wins::report
